"""What scoring costs, beside the limit and beside what one would write in PyTorch:

    python benchmarks/score.py FOLDER

of images writes `benchmarks/results/score.md`. Everything in one run, on all cores, networks in PyTorch on the first
16 of the pictures alone. The machine should have nothing else to do; as a check, the report says how many cores the
process really had.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from score_rivals import ICNet, ViTTiny, as_a_user_would

from clicv2_keras.deployment.scoring.measurement import cpu_seconds
from clicv2_keras.deployment.scoring.run import score_to_file
from clicv2_keras.utils.find_images import find_images
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.threads import share_cores

SCRIPT = Path(sys.executable).parent / "clicv2-keras"
REPORT = Path(__file__).parent / "results" / "score.md"
CORES, _ = share_cores()
ROUNDS = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--model", default="default")
    parser.add_argument("--images", type=int, default=900, help="how many pictures the speed is measured on")
    parser.add_argument("--many", type=int, default=10_000, help="images of the second measure of memory")
    arguments = parser.parse_args()
    files = [found.file for found, _ in zip(find_images(arguments.folder), range(arguments.images), strict=False)]
    torch.set_num_threads(CORES)
    lines = [
        "# What scoring costs",
        "",
        f"```bash\npython {' '.join([os.path.relpath(__file__), *sys.argv[1:]])}\n```",
        "",
        machine(files),
        "",
        *speed(files, arguments.model),
        "",
        *start(files[0]),
        "",
        *memory(files, arguments.model, arguments.many),
    ]
    REPORT.write_text("\n".join(lines) + "\n")
    print(REPORT.read_text())


def machine(files):
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "")
    sizes = [open_rgb(file).size for file in files]
    pixels = sum(width * height for width, height in sizes) / len(sizes) / 1e6
    packages = ", ".join(f"{name} {version(name)}" for name in ("ai-edge-litert", "numpy", "pillow", "torch"))
    return (
        f"{CORES} cores of {model or platform.machine()}; load average at the start {os.getloadavg()[0]:.1f}. "
        f"Python {platform.python_version()}, {packages}. {len(files)} pictures of {pixels:.2f} megapixels on average."
    )


def speed(files, model):
    """Ours and the parts that are its limit in turns, then the two in PyTorch; the best round of each counts."""
    encoded = [Path(file).read_bytes() for file in files]
    rivals = {"ICNet's architecture, 512 and 256": ICNet().eval(), "ViT-Ti/16, 224": ViTTiny().eval()}
    few = files[:16]
    parts, ours, theirs = [], [], {name: [] for name in rivals}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            parts.append(cpu_seconds(model, encoded))
            ours.append(clock(partial(score_to_file, files, Path(folder, "rows.csv"), model, force=True), len(files)))
        for name, network in rivals.items():
            for batch in (1, 16) * 2:
                theirs[name].append(clock(partial(as_a_user_would, network, few, batch), len(few)))
    parts = {name: min(found[name] for found in parts) for name in parts[0]}
    needed = sum(parts.values())
    wall, cpu = min(ours)
    milliseconds = ", ".join(f"{name} {seconds * 1000:.2f}" for name, seconds in parts.items())
    yield "## Speed, from file to row"
    yield ""
    yield f"CPU milliseconds an image, each part alone on one thread: {milliseconds}."
    yield ""
    yield "| | images/s | CPU ms an image | images/s, of ours |"
    yield "| --- | --- | --- | --- |"
    yield f"| the limit: these on {CORES} cores | {CORES / needed:.0f} | {needed * 1000:.2f} | |"
    yield f"| ours, `score_to_file`, loading the model among it | {1 / wall:.0f} | {cpu * 1000:.2f} | 1 |"
    for name, found in theirs.items():
        slow, spent = min(found)
        share = f"1 / {slow / wall:.1f}"
        yield f"| {name}: PyTorch, Pillow, batches of 1 or 16 | {1 / slow:.1f} | {spent * 1000:.1f} | {share} |"
    yield ""
    yield (
        f"Ours is at {needed / CORES / wall:.2f} of the limit; it had {cpu / wall:.2f} of {CORES} cores in that "
        f"round, the rest went to others. Of its CPU time {needed / min(cpu for _, cpu in ours):.2f} is what the parts "
        "need alone: an estimate of the share of the limit where nothing else runs, waiting for Python's lock apart. "
        "Where the machine is shared, compare the networks by CPU time: their rounds came after ours and may have met "
        "another load. They are also larger in pixels and weights than the model that ships, and not quantized."
    )


def clock(work, images):
    """Wall and CPU seconds an image."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) / images, (time.process_time() - cpu) / images


def start(file):
    """Wall and CPU seconds and memory of a new process, the best of several."""
    commands = {
        "`python -c 'import clicv2_keras'`": [sys.executable, "-c", "import clicv2_keras"],
        "`clicv2-keras --help`": [SCRIPT, "--help"],
        "`clicv2-keras score one.jpg`": [SCRIPT, "score", file],
    }
    yield "## Cold start"
    yield ""
    yield "| | wall s | CPU s | resident MB |"
    yield "| --- | --- | --- | --- |"
    for name, command in commands.items():
        wall, cpu, kilobytes = min(spawn(command) for _ in range(7))
        yield f"| {name} | {wall:.2f} | {cpu:.2f} | {kilobytes / 1024:.0f} |"


def memory(files, model, many):
    """Peak memory over 100 images and over many: the same files again and again."""
    yield "## Memory"
    yield ""
    yield "| images | resident MB |"
    yield "| --- | --- |"
    with tempfile.TemporaryDirectory() as folder:
        for count in (100, many):
            names = Path(folder, "names.txt")
            names.write_text("".join(f"{files[i % min(len(files), 100)]}\n" for i in range(count)))
            with open(names) as stream:
                command = [SCRIPT, "score", "-", "--model", model, "--output", Path(folder, f"{count}.csv")]
                _, _, kilobytes = spawn(command, stdin=stream)
            yield f"| {count:,} | {kilobytes / 1024:.1f} |"


# Linux counts a parent's memory as its child's until the child's program starts: this parent has none to speak of.
LAUNCHER = """
import os, sys, time
begin = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
sys.exit(bool(status))
"""


def spawn(command, **options):
    """Run a process; returns its wall seconds, CPU seconds and peak memory in KiB."""
    launch = [sys.executable, "-S", "-c", LAUNCHER, *map(str, command)]
    result = subprocess.run(launch, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True, text=True, **options)
    wall, cpu, kilobytes = map(float, result.stderr.splitlines()[-1].split())
    return wall, cpu, kilobytes


if __name__ == "__main__":
    main()
