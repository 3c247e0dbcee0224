"""The whole CLICv2 step on a GPU, beside plain PyTorch: `python benchmarks/gpu/train_step.py [--smoke]`.

Writes `benchmarks/results/train_step_gpu.json`: for each encoder and batch the images a second, milliseconds a step,
memory and MFU of Keras on JAX in bfloat16, and of the reference in `benchmarks/train_step_torch.py` under
`torch.compile`; the measured peak of bfloat16 products that MFU refers to; and the kernels that take the most time.
Rows that are there are not measured again, unless they failed, so that it may run in slices. It needs no TensorFlow:
keras, namex and optree are what a machine with JAX and PyTorch usually lacks. `--smoke` is the same on a CPU.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[2]))
from clicv2_keras.utils.atomic_files import write_text

ARM = Path(__file__).with_name("step_arm.py")
REPORT = Path(__file__).parents[1] / "results" / "train_step_gpu.json"
CONTESTANTS = ("jax", "torch compiled, autocast", "torch compiled, all of it bfloat16")
# What matters most first, should time run out.
SHAPES = [
    *(("vit_tiny_patch16", 512), ("vit_small_patch16", 256), ("vit_base_patch16", 128)),
    *(("vit_tiny_patch16", 1024), ("vit_small_patch16", 512), ("vit_base_patch16", 256)),
    *(("vit_tiny_patch16", 256), ("vit_small_patch16", 128), ("vit_base_patch16", 64)),
]


@click.command(help=__doc__.partition("\n")[0])
@click.option("--minutes", default=9.0, show_default=True, help="Start nothing after so long.")
@click.option("--output", type=Path, default=REPORT, show_default=True)
@click.option("--smoke", is_flag=True, help="One small model on a CPU.")
def main(minutes, output, smoke):
    end = time.monotonic() + 60 * minutes
    report = json.loads(output.read_text()) if output.exists() else {"command": " ".join(sys.argv), "rows": []}
    output.parent.mkdir(parents=True, exist_ok=True)
    report["rows"] = [row for row in report["rows"] if "failed" not in row]
    if "peak" not in report:
        peak = answer({"contestant": "peak", "smoke": smoke})
        if "failed" in peak:
            raise click.ClickException(f"the peak could not be measured: {peak['failed']}")
        report["peak"] = peak
    shapes = [("vit_tiny_patch16", 2)] if smoke else SHAPES
    todo = [(*shape, name) for shape in shapes for name in CONTESTANTS]
    done = {(row["preset"], row["batch"], row["contestant"]) for row in report["rows"]}
    for preset, batch, contestant in todo:
        if (preset, batch, contestant) in done:
            continue
        if time.monotonic() > end:
            click.echo(f"time is up; the same command goes on from {preset}, {batch}, {contestant}")
            break
        row = {"preset": preset, "batch": batch, "contestant": contestant}
        row |= answer({**row, "smoke": smoke, "seconds": max(end - time.monotonic(), 60)})
        if "flops" in row:
            row["mfu"] = row["flops"] / row["milliseconds"] * 1000 / report["peak"]["flops_per_second"]
        report["rows"].append(row)
        write_text(output, json.dumps(report, indent=1) + "\n")
        click.echo({key: value for key, value in row.items() if key != "kernels"})


def answer(arguments):
    """What `step_arm.py` prints, or why it printed nothing."""
    seconds = arguments.pop("seconds", 300)
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, ARM, json.dumps(arguments)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {seconds:.0f} s"}
    return json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else {"failed": run.stderr[-1500:]}


if __name__ == "__main__":
    main()
