"""One run on several devices, in one process and in several, has the losses that one device has."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from quick_xla import QUICK

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.utils.errors import UserError

ON_DEVICES = Path(__file__).with_name("on_devices.py")
# Every part whose statistics or draws span the batch.
TINY = {
    "name": "tiny",
    "data": {"source": "folder", "image_size": 32},
    "encoder": {"patch_size": 8, "width": 16, "depth": 1, "num_heads": 2},
    "contrast": {"tokens": 3, "projector_hidden": 16, "projection_dim": 8},
    "entropy": {"decoder_width": 16, "decoder_depth": 1},
    "optimizer": {"learning_rate": 3e-3, "warmup_steps": 0},
    "train": {"batch_size": 8, "steps": 3},
    "run": {"log_every": 1, "checkpoint_every": 1},
}
PARALLEL = "distribution.strategy=data_parallel"
GUIDED = ("contrast.level=none", "guide.teacher=pixels", "guide.sample=8", "data.held_out=3")
GUIDED += ("optimizer.average=0.5", "probe.every=1")
TIMES = ("images_per_second", "data_wait")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, jpegs):
    """The recipe's file."""
    file = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, "data": {**TINY["data"], "path": str(jpegs)}}))
    return file


def train(recipe, folder, *overrides, resume=False):
    """The command's arguments."""
    settings = [part for override in (*overrides, f"run.dir={folder}") for part in ("--set", override)]
    return ["train", str(recipe), *settings, *(["--resume"] if resume else [])]


def on_devices(backend, devices, *runs):
    """What each of the runs printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "KERAS_DISTRIBUTION_"))}
    environment |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": QUICK}
    command = [sys.executable, str(ON_DEVICES), str(devices), json.dumps(runs)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    printed = re.split(r"^run \d+$", result.stdout, flags=re.MULTILINE)[1:]
    assert result.returncode == 0 and len(printed) == len(runs), result.stdout + result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return printed, errors


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items() if k not in TIMES and v} for row in csv.DictReader(file)]


def assert_same_losses(one, several, steps):
    mine, theirs = rows(one), rows(several)
    assert [row["step"] for row in mine] == [row["step"] for row in theirs] == list(range(1, steps + 1))
    for a, b in zip(mine, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-4)


def momenta(folder, step):
    """AdamW's mean gradients, whose size tells a gradient that is counted twice, as the weights would not."""
    with np.load(folder / "checkpoints" / f"step_{step:08d}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files if "momentum" in name}


def assert_same_run(one, two):
    assert_same_losses(one, two, 3)
    mine, theirs = momenta(one, 3), momenta(two, 3)
    assert len(mine) > 10
    for name in mine:
        np.testing.assert_allclose(theirs[name], mine[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_two_devices_have_the_losses_of_one_on_tensorflow(tmp_path, tiny):
    """And a run that began on one device goes on with two."""
    one, two, resumed = tmp_path / "one", tmp_path / "two", tmp_path / "resumed"
    printed, _ = on_devices(
        "tensorflow",
        2,
        train(tiny, one),
        train(tiny, two, PARALLEL),
        ["copy", str(one), str(resumed)],
        train(tiny, resumed, PARALLEL, resume=True),
    )
    assert "3 steps on tensorflow, into" in printed[0] and "3 steps on tensorflow, 2 devices, into" in printed[1]
    assert "1 steps on tensorflow, 2 devices, into" in printed[3]
    assert_same_run(one, two)
    assert_same_run(one, resumed)


@pytest.mark.slow
def test_two_devices_have_the_losses_of_one_where_all_but_products_is_compiled(tmp_path, tiny):
    one, two, half = (tmp_path / name for name in ("one", "two", "half"))
    settings = (PARALLEL, "train.jit=always")
    in_half = train(tiny, half, *settings, "train.precision=bfloat16")
    on_devices("tensorflow", 2, train(tiny, one), train(tiny, two, *settings), in_half)
    assert_same_losses(one, two, 3)
    # What the devices exchange is bfloat16 there.
    for whole, rounded in zip(rows(one), rows(half), strict=True):
        assert rounded["loss"] == pytest.approx(whole["loss"], rel=0.05)


@pytest.mark.slow
def test_two_devices_judge_a_guide_and_its_average_as_one_does_on_tensorflow(tmp_path, tiny):
    one, two = tmp_path / "one", tmp_path / "two"
    on_devices("tensorflow", 2, train(tiny, one, *GUIDED), train(tiny, two, PARALLEL, *GUIDED))
    assert_same_losses(one, two, 3)
    assert all(row["held_out_pooled"] != row["average_held_out_pooled"] for row in rows(two)[1:])
    assert (two / "encoder_ema.keras").exists()


@pytest.mark.slow
def test_two_devices_have_the_losses_of_one_on_jax(tmp_path, tiny):
    one, two, odd = tmp_path / "one", tmp_path / "two", tmp_path / "odd"
    printed, errors = on_devices(
        "jax",
        2,
        train(tiny, odd, PARALLEL, "distribution.processes=2"),
        train(tiny, odd, PARALLEL, "distribution.devices=3"),
        train(tiny, odd, PARALLEL, "train.batch_size=7"),
        train(tiny, one),
        train(tiny, two, PARALLEL),
    )
    assert ["exit 2" in text for text in printed] == [True, True, True, False, False] and not odd.exists()
    assert "cannot join 2 processes" in errors[0] and "KERAS_DISTRIBUTION_PROCESS_ID" in errors[0]
    assert "distribution.devices: 3 of 2" in errors[1]
    assert "train.batch_size: 7" in errors[2] and "2 devices; take 6" in errors[2]
    assert "3 steps on jax, 2 devices, into" in printed[4]
    assert_same_run(one, two)


def processes(recipe, folder, *overrides, resume=False):
    """Start two on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    overrides = (PARALLEL, "distribution.processes=2", *overrides)
    command = [sys.executable, "-m", "clicv2_keras", *train(recipe, folder, *overrides, resume=resume)]
    started = []
    for number in range(2):
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": QUICK,
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    return started


def ends(started):
    """Exit status, stdout and stderr of each."""
    ended = []
    for process in started:
        output = process.communicate(timeout=600)
        ended.append((process.returncode, *output))
    return ended


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_and_stop_together(tmp_path, tiny):
    one, two, steps = tmp_path / "one", tmp_path / "two", ["train.steps=40", "optimizer.learning_rate=1e-4"]
    on_devices("jax", 1, train(tiny, one, *steps))

    started = processes(tiny, two, *steps)
    for line in started[0].stdout:
        if line.startswith("step 3/"):
            started[1].send_signal(signal.SIGTERM)  # to one of them alone
            break
    ended = ends(started)
    assert [status for status, *_ in ended] == [128 + signal.SIGTERM] * 2, ended
    stopped = len(rows(two))
    assert 3 <= stopped < 40
    # Process 0 alone writes.
    assert "step" not in ended[1][1] and "process 1: " in ended[1][2]
    assert len(list((two / "tensorboard").iterdir())) == 1

    again = ends(processes(tiny, two, *steps))
    assert [status for status, *_ in again] == [2, 2]
    assert "holds a run; add --resume" in again[0][2] and "process 0 could not open the run" in again[1][2]

    ended = ends(processes(tiny, two, *steps, resume=True))
    assert [status for status, *_ in ended] == [0, 0], ended
    assert_same_losses(one, two, 40)


@pytest.mark.slow
def test_two_processes_judge_a_guide_on_images_held_out_as_one_does(tmp_path, tiny):
    """The average too, which takes the place of the weights for it: every process must have a part in that."""
    one, two = tmp_path / "one", tmp_path / "two"
    on_devices("jax", 1, train(tiny, one, *GUIDED))
    ended = ends(processes(tiny, two, *GUIDED))
    assert [status for status, *_ in ended] == [0, 0], ended
    assert_same_losses(one, two, 3)
    # After the first step they are the same.
    assert all(row["held_out_pooled"] != row["average_held_out_pooled"] for row in rows(two)[1:])


@pytest.mark.parametrize(
    "backend, override, parts",
    [
        ("torch", "distribution.devices=null", ["not on torch", "jax"]),
        ("torch", "train.jit=always", ["train.jit: always", "torch"]),
        ("tensorflow", "train.accumulate=2", ["TensorFlow cannot, with data_parallel", "--backend jax"]),
        ("tensorflow", "distribution.processes=2", ["not on tensorflow", "--backend jax"]),
    ],
)
def test_what_a_backend_cannot_is_one_line(tiny, monkeypatch, backend, override, parts):
    import keras

    from clicv2_keras.training.devices import Devices, check_backend

    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    recipe = load_recipe(tiny, [PARALLEL, override])
    for refuses in (Devices, lambda recipe: check_backend(recipe, backend)):
        with pytest.raises(UserError, match=rf"^{override.partition('.')[0]}\.") as caught:
            refuses(recipe)
        for part in parts:
            assert part in str(caught.value)


def test_ratios_that_a_devices_share_does_not_divide_by_are_one_line(tiny, monkeypatch):
    import keras

    from clicv2_keras.training.devices import Devices

    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(Devices, "_names", lambda self: ["CPU:0", "CPU:1"])
    message = "^entropy.mask_ratio: 3 ratios do not divide the 4 images of a device; take train.batch_size 6, or"
    with pytest.raises(UserError, match=message):
        Devices(load_recipe(tiny, [PARALLEL, "entropy.mask_ratio=[0, .5, .75]"]))


@pytest.mark.parametrize(
    "override, parts",
    [
        ("train.accumulate=3", ["train.accumulate: 3", "train.batch_size 8"]),
        ("train.accumulate=8", ["train.accumulate: 8", "micro-batches of one"]),
        ("distribution.devices=2", ["distribution.devices", "data_parallel"]),
        ("distribution.processes=2", ["distribution.processes", "data_parallel"]),
        ("distribution={strategy: data_parallel, processes: 2, devices: 2}", ["distribution.devices", "null"]),
    ],
)
def test_keys_that_do_not_fit(tiny, override, parts):
    with pytest.raises(UserError) as caught:
        load_recipe(tiny, [override])
    for part in parts:
        assert part in str(caught.value)
