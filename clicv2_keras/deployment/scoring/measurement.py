"""What scoring costs on this device."""

import io
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from clicv2_keras.deployment.scoring.network import Network, find_tflite
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import is_url
from clicv2_keras.utils.find_images import find_images
from clicv2_keras.utils.images import UnreadableImage, network_input, open_rgb
from clicv2_keras.utils.paths import StrPath
from clicv2_keras.utils.threads import ordered_map, share_cores

# Without images of the user: this many, drawn and enlarged to the size of a small photograph.
DRAWN, DRAWN_SIZE = 4, (1600, 1200)
# Of the user's images.
AT_MOST = 64


@dataclass
class Measurement:
    """What scoring costs here.

    Attributes:
        model: name of the model; `image_size`: side of its input in pixels; `file_size`: of the file in bytes.
        images: what was scored, in words.
        load: seconds from the file to a model that is ready, LiteRT's import among them.
        cpu: CPU seconds of an image on one thread: `decode`, `resize`, `invoke`.
        latency: seconds of the network alone, by threads.
        throughput: images a second from the file, or its bytes, to the score, by workers.
        memory: bytes the process held at most, which is what scoring takes; None where the system does not say.
    """

    model: str
    image_size: int
    file_size: int
    images: str
    load: float
    cpu: dict = field(default_factory=dict)
    latency: dict = field(default_factory=dict)
    throughput: dict = field(default_factory=dict)
    memory: int | None = None

    def lines(self):
        """The figures in words, line by line."""
        width, ms = 22, 1000
        yield f"{'model':{width}}{self.model}, {self.image_size} x {self.image_size}, {self.file_size / 1e6:.1f} MB"
        yield f"{'images':{width}}{self.images}"
        yield f"{'load':{width}}{self.load * ms:.0f} ms"
        for name, seconds in self.cpu.items():
            yield f"{name:{width}}{seconds * ms:.2f} ms an image"
        for threads, seconds in self.latency.items():
            yield f"{'network, ' + _count(threads, 'thread'):{width}}{seconds * ms:.2f} ms"
        for workers, rate in self.throughput.items():
            yield f"{_count(workers, 'worker'):{width}}{rate:,.1f} images/s"
        if self.memory:
            yield f"{'memory':{width}}{self.memory / 2**20:.0f} MB at most"


def benchmark(
    model: StrPath = "default", images: StrPath | Iterable[StrPath] | None = None, seconds: float = 1.0
) -> Measurement:
    """Measure what scoring costs on this device.

    Args:
        model: a `.tflite` file or a trained preset.
        images: files, folders and globs as for `find_images`, of which the first 64 that can be read are taken; drawn
            ones by default.
        seconds: that each figure takes, about.

    Returns:
        `Measurement`.

    Raises:
        UserError: where the model is none, or no image can be read.
    """
    start = time.perf_counter()
    scorer = Scorer(model)
    load = time.perf_counter() - start
    size = scorer.image_size
    encoded = _drawn() if images is None else _readable(images, 2 * size)
    what = f"{DRAWN} drawn JPEGs of {DRAWN_SIZE[0]} x {DRAWN_SIZE[1]}" if images is None else f"{len(encoded)} images"
    found = Measurement(scorer.metadata["name"], size, find_tflite(model).stat().st_size, what, load)
    found.cpu = cpu_seconds(model, encoded, seconds)
    pixels = network_input(open_rgb(encoded[0], 2 * size), size)
    for count in _up_to_the_cores():
        network = Network(model, count)
        found.latency[count] = _repeat(network, pixels, seconds, time.perf_counter)
    for count in _up_to_the_cores():
        found.throughput[count] = _throughput(scorer, encoded, count, seconds)
    found.memory = peak_memory()
    return found


def cpu_seconds(model, encoded, seconds=1.0):
    """CPU seconds an image of the parts of scoring, each alone on one thread: `decode`, `resize` and `invoke`.

    Args:
        encoded: images, as paths or bytes.
        seconds: that each part takes, about.
    """
    network = Network(model)
    size = network.image_size
    spent = dict.fromkeys(("decode", "resize", "invoke"), 0.0)
    for data in encoded:
        # One decoded at a time, as in scoring: of large ones sixty-four would not fit in memory.
        picture = open_rgb(data, 2 * size)
        pixels = network_input(picture, size)
        parts = {
            "decode": (lambda data: open_rgb(data, 2 * size), data),
            "resize": (lambda picture: network_input(picture, size), picture),
            "invoke": (network, pixels),
        }
        for name, (work, item) in parts.items():
            spent[name] += _repeat(work, item, seconds / len(encoded), time.thread_time)
    return {name: total / len(encoded) for name, total in spent.items()}


def peak_memory():
    """Bytes that this process held at most, or None where the system does not say."""
    try:
        # Not getrusage: on Linux it may be the parent's peak.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _repeat(work, item, seconds, clock):
    """Mean time of `work(item)`, as often as it takes."""
    work(item)
    count, start, end = 0, clock(), time.perf_counter() + seconds
    while not count or time.perf_counter() < end:
        work(item)
        count += 1
    return (clock() - start) / count


def _throughput(scorer, encoded, workers, seconds):
    start = time.perf_counter()
    items = itertools.takewhile(lambda _: time.perf_counter() - start < seconds, itertools.cycle(encoded))
    count = sum(1 for _ in ordered_map(scorer.score, items, workers))
    return count / (time.perf_counter() - start)


def _up_to_the_cores():
    cores, _ = share_cores()
    return sorted({1, *(2**power for power in range(1, cores.bit_length())), cores})


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _drawn():
    from PIL import Image

    from clicv2_keras.utils.procedural import procedural_image

    encoded = []
    for seed in range(DRAWN):
        stream = io.BytesIO()
        Image.fromarray(procedural_image(seed, 400)[0]).resize(DRAWN_SIZE).save(stream, "JPEG", quality=90)
        encoded.append(stream.getvalue())
    return encoded


def _readable(paths, at_least):
    """The first files that can be read, decoded as in scoring: of a JPEG both sides keep `at_least` pixels."""
    files = []
    for found in find_images(paths):
        if is_url(found.file):
            raise UserError(f"--images {found.file}: is on the web; name files of this machine")
        try:
            open_rgb(found.file, at_least)
        except UnreadableImage:
            continue
        files.append(found.file)
        if len(files) == AT_MOST:
            break
    if not files:
        raise UserError(f"--images {paths}: holds no image that can be read")
    return files
