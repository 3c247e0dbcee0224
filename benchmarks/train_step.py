"""What a training step costs, beside the same step in plain PyTorch and beside its matrix products alone.

    python benchmarks/train_step.py [--preset vit_tiny_patch16 --depth 4 --size 96 --batch 32]

writes `benchmarks/results/train_step.md`. Every contestant is a process of its own on the same CPUs and images; they
take turns, so that whatever else the machine does hits all alike. Linux.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click

from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe

HERE = Path(__file__).parent
REPORT = HERE / "results" / "train_step.md"
# `train.jit` of ours. XLA on a CPU has no bfloat16 products, so that in bfloat16 TensorFlow may do better without it.
KERAS = [("tensorflow", "true"), ("tensorflow", "always"), ("jax", "true"), ("torch", "true")]
PRECISIONS = ("float32", "bfloat16")


@click.command(help=__doc__.partition("\n")[0])
@click.option("--preset", default="vit_tiny_patch16", show_default=True)
@click.option("--depth", default=4, show_default=True)
@click.option("--size", default=96, show_default=True, help="Pixels.")
@click.option("--batch", default=32, show_default=True)
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default=True, help="CPUs of each contestant.")
@click.option("--rounds", default=9, show_default=True)
@click.option("--steps", default=3, show_default=True, help="Of a contestant, a round.")
@click.option("--precision", type=click.Choice(PRECISIONS), multiple=True, default=PRECISIONS, show_default=True)
@click.option("--compiled/--eager", default=True, show_default=True, help="With the compiled references, or without.")
@click.option("--output", type=Path, default=REPORT, show_default=True)
def main(preset, depth, size, batch, threads, rounds, steps, precision, compiled, output):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    overrides = [f"encoder.preset={preset}", f"encoder.depth={depth}", f"data.image_size={size}"]
    overrides.append(f"train.batch_size={batch}")
    with output.open("w") as file:
        for line in report(preset, depth, size, batch, threads, rounds, steps, precision, compiled, overrides):
            print(line, file=file, flush=True)
    print(output.read_text())


def report(preset, depth, size, batch, threads, rounds, steps, precision, compiled, overrides):
    yield "# The training step"
    yield ""
    yield f"```bash\npython {' '.join([os.path.relpath(__file__), *sys.argv[1:]])}\n```"
    yield ""
    yield machine(threads)
    yield f"{preset}, depth {depth}, {size} pixels, batches of {batch}, the rest as in recipes/quickstart.yaml."
    for kind in precision:
        yield f"\n## {kind}\n"
        yield from compare(contestants(kind, overrides, compiled), rounds, steps)
    yield "## Memory of later steps, float32, MB\n"
    yield from memory(overrides)
    yield "\n## Views that keep half of their patches, float32, TensorFlow\n"
    yield from parts_kept(overrides, rounds, steps)
    yield "\n## Where a step's time goes\n"
    yield from parts(overrides)
    yield f"Load average at the end {os.getloadavg()[0]:.1f}."


def machine(threads):
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "")
    packages = ", ".join(f"{name} {version(name)}" for name in ("keras", "tensorflow", "jax", "torch", "numpy"))
    return (
        f"{threads} of {os.cpu_count()} cores of {model or platform.machine()}; load average at the start "
        f"{os.getloadavg()[0]:.1f}. Python {platform.python_version()}, {packages}."
    )


def contestants(precision, overrides, compiled):
    """Name to the arguments of `train_step_arm.py`."""
    common = {"precision": precision, "overrides": overrides}
    arms = {"the matrix products alone, PyTorch's": {**common, "kind": "products"}}
    for backend, jit in KERAS:
        name = f"ours, {backend}" + ", XLA" * (jit == "always")
        arms[name] = {**common, "kind": backend, "overrides": [*overrides, f"train.jit={jit}"]}
    for half in (None,) if precision == "float32" else ("autocast", "whole"):
        for compile_it in (False, True)[: 1 + compiled]:
            for products in (False, True):
                options = {"half": half, "compiled": compile_it, "products": products}
                name = f"plain PyTorch, {'compiled' if compile_it else 'eager'}"
                name += {"autocast": ", autocast", "whole": ", all of it bfloat16"}.get(half, "")
                arms[name + ", attention by products" * products] = {**common, "kind": "reference", **options}
    return arms


def compare(arms, rounds, steps):
    """The table of all contestants, a round of steps each in turns; the first steps of each do not count."""
    processes = {name: Arm(arguments) for name, arguments in arms.items()}
    found = {name: [] for name in arms}
    peak = {}
    for name, process in processes.items():
        click.echo(f"{name}: starts", err=True)
        peak[name] = process.run(2)["megabytes"]
    for number in range(rounds):
        for name, process in processes.items():
            found[name].append(process.run(steps)["times"])
        click.echo(f"round {number + 1} of {rounds}", err=True)
    memory = {name: process.run(1) for name, process in processes.items()}
    for process in processes.values():
        process.end()

    # Of each round the lowest.
    wall, cpu = (
        {name: [min(step[clock] for step in times) for times in values] for name, values in found.items()}
        for clock in range(2)
    )
    products, rivals = next(iter(arms)), [name for name in arms if name.startswith("plain")]
    yield (
        "| | ms a step, lowest | median | CPU ms, lowest | of it the products alone "
        "| peak memory, MB | of later steps | libraries' |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, values in found.items():
        median = statistics.median(step[0] for times in values for step in times)
        yield (
            f"| {name} | {1000 * min(wall[name]):.0f} | {1000 * median:.0f} | {1000 * min(cpu[name]):.0f} "
            f"| {min(wall[products]) / min(wall[name]):.2f} "
            f"| {peak[name]:.0f} | {memory[name]['megabytes']:.0f} | {memory[name]['libraries']:.0f} |"
        )
    yield ""
    usual = [name for name in rivals if "products" not in name]
    for title, others in (("with fused attention", usual), ("any", rivals)):
        line = []
        for clock, values in (("wall", wall), ("CPU", cpu)):
            lowest = {name: min(values[name]) for name in values}
            best = min((name for name in arms if name.startswith("ours")), key=lowest.get)
            rival = min(others, key=lowest.get)
            ratios = [theirs / ours for ours, theirs in zip(values[best], values[rival], strict=True)]
            line.append(
                f"{lowest[rival] / lowest[best]:.2f} × by {clock} time, in the rounds {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}) ({best}; {rival})"
            )
        yield f"The best of ours against the best reference, {title}: {'; '.join(line)}."
        yield ""


def memory(overrides):
    """The table of memory with and without `train.recompute`, and of the time it costs."""
    yield "| | kept | recomputed | time, recomputed against kept |\n| --- | --- | --- | --- |"
    for backend, jit in KERAS:
        found = []
        for recompute in ("false", "true"):
            settings = [*overrides, f"train.jit={jit}", f"train.recompute={recompute}"]
            arm = Arm({"kind": backend, "overrides": settings})
            arm.run(2)
            answer = arm.run(3)
            arm.end()
            found.append((answer["megabytes"], min(step[0] for step in answer["times"])))
        (kept, fast), (recomputed, slow) = found
        yield f"| {backend}{', XLA' * (jit == 'always')} | {kept:.0f} | {recomputed:.0f} | {slow / fast:.2f} |"


def parts_kept(overrides, rounds, steps):
    """The table of a step with `contrast.keep_ratio` .5 against a whole one, in turns.

    With masked modelling, and without it, which has no part in the ratio.
    """
    yield "| | whole, ms, lowest | half to whole, median of the rounds (least, most) | CPU time | FLOPs |"
    yield "| --- | --- | --- | --- | --- |"
    for name, more in (("all of it", []), ("the contrast alone", ["entropy.weight=0"])):
        kept = [[*overrides, *more, f"contrast.keep_ratio={ratio}"] for ratio in (1, 0.5)]
        arms = [Arm({"kind": "tensorflow", "overrides": settings}) for settings in kept]
        for arm in arms:
            arm.run(2)
        found = [[tuple(map(min, zip(*arm.run(steps)["times"], strict=True))) for arm in arms] for _ in range(rounds)]
        for arm in arms:
            arm.end()
        texts = []
        for clock in range(2):
            ratios = [half[clock] / whole[clock] for whole, half in found]
            texts.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})")
        flops = [count_cost(load_recipe("quickstart", settings)).flops_per_image for settings in kept]
        lowest = 1000 * min(whole[0] for whole, _ in found)
        yield f"| {name} | {lowest:.0f} | {' | '.join(texts)} | {flops[1] / flops[0]:.2f} |"


def parts(overrides):
    """The table of a step's parts under TensorFlow and XLA."""
    command = [sys.executable, HERE / "train_step_parts.py", json.dumps(overrides)]
    yield subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout


class Arm:
    """A contestant's process."""

    def __init__(self, arguments):
        command = [sys.executable, HERE / "train_step_arm.py", json.dumps(arguments)]
        self.log = tempfile.TemporaryFile("w+")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = subprocess.Popen(command, text=True, **pipes)

    def run(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            raise click.ClickException(f"{self.process.args[-1]} ended: {self.log.read()[-2000:]}")
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


if __name__ == "__main__":
    main()
