"""Does the input pipeline keep up? `python benchmarks/input_pipeline.py [--images FOLDER] [--size 224] [--rounds 7]`

In one run, on the same JPEGs of 500 x 375 pixels and the same cores, taking turns: `training_dataset` on a folder and
on records, PyTorch's `DataLoader` with Pillow doing the same work, and decoding and resizing alone. The JPEGs are made
in a temporary folder from the images of FOLDER, or else drawn; they are small enough for the page cache.

Beside images a second: the processor time of an image, over all threads and processes. On cores that other programs
share, that is the fairer figure. Linux.
"""

import argparse
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

WIDTH, HEIGHT, IMAGES, BATCH, WORKERS, JITTER = 500, 375, 600, 32, 2, 0.2
BILINEAR = Image.Resampling.BILINEAR


def make_images(folder, origin):
    """Fill `folder` with JPEGs."""
    from clicv2_keras.data.sources import open_source

    source = open_source("folder", origin) if origin else open_source("procedural", None, IMAGES, WIDTH)
    for i in np.random.default_rng(0).permutation(len(source))[:IMAGES]:
        image = source.load(int(i)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        image.save(folder / f"{i:06}.jpg", quality=90)


class Views:
    """The same views as a PyTorch user would make them: RandomResizedCrop, flip and two ColorJitters on Pillow."""

    def __init__(self, files, size):
        self.files, self.size = files, size

    def __len__(self):
        return 10**6

    def __getitem__(self, number):
        import torch

        rng = np.random.default_rng(number)
        view = decode_and_crop(self.files[number % len(self.files)], self.size, rng)
        if rng.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        images = {"image": view, "view_a": self.jitter(view, rng), "view_b": self.jitter(view, rng)}
        return {name: torch.from_numpy(np.array(image)) for name, image in images.items()}

    def jitter(self, image, rng):
        for operation in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = operation(image).enhance(rng.uniform(1 - JITTER, 1 + JITTER))
        return image


def decode_and_crop(file, size, rng):
    with Image.open(file) as image:
        area, aspect = rng.uniform(0.2, 1) * WIDTH * HEIGHT, np.exp(rng.uniform(-1, 1) * np.log(4 / 3)) * WIDTH / HEIGHT
        across, down = min((area * aspect) ** 0.5, WIDTH), min((area / aspect) ** 0.5, HEIGHT)
        left, upper = rng.uniform(0, WIDTH - across), rng.uniform(0, HEIGHT - down)
        return image.resize((size, size), BILINEAR, (left, upper, left + across, upper + down))


def ours(source, size, jitter=JITTER):
    from clicv2_keras.data.pipeline import training_dataset

    for batch in training_dataset(source, image_size=size, batch_size=BATCH, jitter=jitter):
        yield len(batch["image"])


def data_loader(files, size):
    from torch.utils.data import DataLoader

    # Spawned: a fork of a process that runs TensorFlow may hang.
    loader = DataLoader(Views(files, size), BATCH, num_workers=WORKERS, multiprocessing_context="spawn")
    for batch in loader:
        yield len(batch["image"])


def decode_alone(files, size, crops):
    """Decode and resize on as many threads, and nothing else: no flip, no colours, no batches."""

    def work(number):
        if crops:
            decode_and_crop(files[number % len(files)], size, np.random.default_rng(number))
        else:
            with Image.open(files[number % len(files)]) as image:
                image.resize((size, size), BILINEAR)

    with ThreadPoolExecutor(WORKERS) as pool:
        for start in itertools.count(0, 8 * BATCH):
            for _ in pool.map(work, range(start, start + 8 * BATCH)):
                yield 1


def measure(stream, images):
    """Images a second, and processor milliseconds an image, of a fresh stream after its first two batches."""
    stream, seen = iter(stream), 0
    while seen < 2 * BATCH:
        seen += next(stream)
    start, busy, seen = time.perf_counter(), processor_seconds(), 0
    while seen < images:
        seen += next(stream)
    return seen / (time.perf_counter() - start), 1000 * (processor_seconds() - busy) / seen


def processor_seconds():
    """Of this process and its workers."""
    total = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=960, help="images an arm and round")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from clicv2_keras import prepare
    from clicv2_keras.data.sources import open_source

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "images")
        folder.mkdir()
        make_images(folder, arguments.images)
        files, size = sorted(folder.iterdir()), arguments.size
        records = prepare(folder, Path(place, "records"), progress=False).path
        sources = {kind: open_source(kind, path) for kind, path in (("folder", folder), ("records", records))}
        arms = {
            "pipeline, folder": lambda: ours(sources["folder"], size),
            "pipeline, records": lambda: ours(sources["records"], size),
            "DataLoader, Pillow": lambda: data_loader(files, size),
            "decode + resize alone, crops": lambda: decode_alone(files, size, True),
            "decode + resize alone, whole": lambda: decode_alone(files, size, False),
        }
        figures = {name: [] for name in arms}
        for _ in range(arguments.rounds):
            for name, arm in arms.items():
                figures[name].append(measure(arm(), arguments.count))
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{IMAGES} JPEGs of {WIDTH} x {HEIGHT}, views of {size}, {cores} cores, load average {load:.1f}")
    print("| | images/s | lowest | highest | CPU ms an image | pipeline against this | by CPU time |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, values in figures.items():
        speeds, times = zip(*values, strict=True)
        pairs = list(zip(figures["pipeline, folder"], values, strict=True))
        ratio, by_time = (statistics.median(f(*pair) for pair in pairs) for f in (faster, cheaper))
        print(
            f"| {name} | {statistics.median(speeds):.0f} | {min(speeds):.0f} | {max(speeds):.0f} "
            f"| {statistics.median(times):.2f} | {ratio:.2f} | {by_time:.2f} |"
        )


def faster(ours, other):
    return ours[0] / other[0]


def cheaper(ours, other):
    return other[1] / ours[1]


if __name__ == "__main__":
    main()
