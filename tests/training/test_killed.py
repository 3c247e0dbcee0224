"""A run that is killed, stopped or starved goes on and ends as if nothing had been."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from quick_xla import QUICK
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_recipe import TINY

from clicv2_keras.models.find_model import find_model
from clicv2_keras.recipe.files import load_recipe

ATTEMPTS = Path(__file__).with_name("attempts.py")
# TensorFlow treats a step apart that takes more than 205 MB.
LARGE = ("data.image_size=96", "entropy.decoder_width=192", "train.batch_size=256")


def run(folder, images, *overrides):
    """The command's arguments for a tiny run into `folder`."""
    recipe = load_recipe("quickstart", [*TINY, f"data.path={images}", f"run.dir={folder}", *overrides])
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(recipe.model_dump()))
    return ["train", str(file), "--resume"]


class Attempts:
    """Context to run attempts in, see attempts.py: as a user does, with all threads that there are."""

    def __init__(self, backend=None, **environment):
        self.environment = {
            name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"
        } | environment
        if backend:
            self.environment["KERAS_BACKEND"] = backend

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, str(ATTEMPTS)], env=self.environment, **pipes)
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def begin(self, **fate):
        print(json.dumps(fate), file=self.process.stdin, flush=True)

    def end(self):
        """Exit status and the lines that were printed."""
        outcome = json.loads(self.process.stdout.readline())
        return outcome["status"], outcome["output"].strip().splitlines()

    def last(self):
        """The end of the attempt beside."""
        self.process.stdin.close()
        return self.end()

    def run(self, **fate):
        self.begin(**fate)
        return self.end()


def state(folder, step):
    """Weights, teacher, optimizer, random states."""
    with np.load(folder / "checkpoints" / f"step_{step:08d}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")}
            for row in csv.DictReader(file)
        ]


def event_steps(folder):
    """Steps of the loss as TensorBoard shows them."""
    return [event.step for event in EventAccumulator(str(folder / "tensorboard")).Reload().Scalars("loss")]


def assert_equal(troubled, steady, steps):
    mine, theirs = state(troubled, steps), state(steady, steps)
    assert mine.keys() == theirs.keys()
    for part in ("teacher_encoder", "projection_head", "velocity", "iteration", "seed_generator"):
        assert any(part in name for name in mine), part
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
    assert rows(troubled) == rows(steady)
    assert event_steps(troubled) == [int(row["step"]) for row in rows(steady)]
    for folder in (troubled, steady):
        assert not list(folder.rglob("*unfinished*"))
        assert len(list((folder / "checkpoints").iterdir())) == 2


def assert_told(outcome, status, *parts):
    """One line, with what to do."""
    assert outcome[0] == status, outcome
    assert not any("Traceback" in line for line in outcome[1])
    line = outcome[1][-1]
    assert line.startswith("Error: ") and sum("Error" in line for line in outcome[1]) == 1
    for part in (*parts, "--resume"):
        assert part in line


@pytest.mark.slow
def test_killed_stopped_and_starved_a_run_ends_as_if_undisturbed(tmp_path, jpegs, scored):
    steady, troubled, listed = (tmp_path / name for name in ("steady", "troubled", "listed"))
    settings = ["train.steps=8", "run.log_every=2", "run.checkpoint_every=2", "data.jitter=0", "entropy.weight=0"]
    settings += [f"probe={{dataset: csv, root: {scored}, every: 4}}", "optimizer.learning_rate=0.01"]
    attempt = {"args": run(troubled, jpegs, *settings, "run.images_every=2"), "eager": True}
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in jpegs.rglob("*.jpg")))
    checkpoints = troubled / "checkpoints"
    good = f"last good checkpoint: {checkpoints / 'step_00000002.npz'};"
    with Attempts() as attempts:
        attempts.begin(args=run(steady, jpegs, *settings), eager=True, beside=True)
        assert attempts.run(**attempt, checkpoint=4, stage="half")[0] == -signal.SIGKILL
        assert_told(attempts.run(**attempt, gone=str(jpegs)), 1, f"{jpegs}: the folder of the images is gone", good)
        full = attempts.run(**attempt, full=str(checkpoints / "unfinished_step_00000004.npz"))
        assert_told(full, 1, f"{checkpoints / 'step_00000004.npz'}: No space left on device", good)
        gone = attempts.run(args=run(listed, tmp_path / "list.txt", "data.source=list"), eager=True, gone=str(jpegs))
        assert_told(gone, 1, f"{tmp_path / 'list.txt'}: none of the 12 files it names exists", "no checkpoint yet")
        assert_told(
            attempts.run(**attempt, step=5, signal=signal.SIGTERM), 128 + signal.SIGTERM, "stopped at step 5 of 8"
        )
        assert attempts.run(**attempt, step=6, delay=0.05)[0] == -signal.SIGKILL
        assert attempts.run(**attempt)[0] == 0
        assert attempts.last()[0] == 0
    assert_equal(troubled, steady, 8)
    assert (troubled / "probe.csv").read_text() == (steady / "probe.csv").read_text()
    best = [find_model(folder / "encoder_best.keras").get_weights() for folder in (troubled, steady)]
    for mine, theirs in zip(*best, strict=True):
        np.testing.assert_array_equal(mine, theirs)


# JAX, which never raced, compiles this step for minutes.
@pytest.mark.parametrize(
    ("backend", "more"),
    [
        pytest.param("tensorflow", [], marks=pytest.mark.slow),
        pytest.param("torch", [], marks=pytest.mark.slow),
        pytest.param("tensorflow", ["train.jit=always"], marks=pytest.mark.slow, id="XLA"),
        # All but the products.
        pytest.param(
            "tensorflow", ["train.jit=always", "train.precision=bfloat16"], marks=pytest.mark.slow, id="in parts"
        ),
    ],
)
def test_a_run_repeats_bit_by_bit_killed_or_not(backend, more, tmp_path, jpegs):
    steady, troubled = tmp_path / "steady", tmp_path / "troubled"
    settings = [*LARGE, "train.steps=4", "run.log_every=1", "run.checkpoint_every=1", "data.jitter=0", *more]
    attempt = {"args": run(troubled, jpegs, *settings)}
    with Attempts(backend) as attempts:
        attempts.begin(args=run(steady, jpegs, *settings), beside=True)
        assert attempts.run(**attempt, row=3)[0] == -signal.SIGKILL
        assert attempts.run(**attempt)[0] == 0
        assert attempts.last()[0] == 0
    assert_equal(troubled, steady, 4)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.long), "torch"])
def test_with_labels_and_a_guide_of_pixels_killed_or_not(backend, tmp_path, jpegs, scored):
    """All branches at once; the checkpoint of step 2 is the last before the kill."""
    steady, troubled = tmp_path / "steady", tmp_path / "troubled"
    settings = ["train.steps=6", "run.log_every=2", "run.checkpoint_every=2", "data.jitter=0", "guide.sample=8"]
    settings += ["guide.teacher=pixels", f"labels={{dataset: csv, root: {scored}, steadiness: 1}}"]
    attempt = {"args": run(troubled, jpegs, *settings), "eager": True}
    # JAX compiles the step of all branches for a minute: one attempt for all.
    with Attempts(backend, XLA_FLAGS=QUICK, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "compiled")) as attempts:
        attempts.begin(args=run(steady, jpegs, *settings), eager=True, beside=True)
        assert attempts.run(**attempt, step=4)[0] == -signal.SIGKILL
        stopped = attempts.run(**attempt, step=3, signal=signal.SIGTERM)
        assert_told(stopped, 128 + signal.SIGTERM, "stopped at step 3 of 6")
        assert attempts.run(**attempt)[0] == 0
        assert attempts.last()[0] == 0
    assert_equal(troubled, steady, 6)
    scorers = [find_model(folder / "scorer.keras") for folder in (troubled, steady)]
    for mine, theirs in zip(*(scorer.get_weights() for scorer in scorers), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(scorers[0].head.fitted_to) == len(scorers[1].encoder.fitted_to) == 24


@pytest.mark.slow
@pytest.mark.long
def test_killed_twenty_times_a_run_ends_as_if_undisturbed(tmp_path, jpegs):
    """In steps, in checkpoints, between epochs, and at any time; with a compiled step, as it is by default."""
    steady, troubled = tmp_path / "steady", tmp_path / "troubled"
    settings = ["train.steps=240", "run.log_every=4", "run.checkpoint_every=4"]
    attempt = {"args": run(troubled, jpegs, *settings)}
    draw = random.Random(5)
    with Attempts() as attempts:
        attempts.begin(args=run(steady, jpegs, *settings), beside=True)
        for number in range(20):
            step = newest(troubled)
            row = step + 4 * draw.randint(1, 2)
            kinds = [
                {"step": step + draw.randint(1, 9), "delay": draw.uniform(0, 0.03)},
                {"checkpoint": row, "stage": draw.choice(["half", "written", "renamed"])},
                {draw.choice(["row", "epoch"]): row},
                {"seconds": draw.uniform(0, 0.3)},
            ]
            assert attempts.run(**attempt, **kinds[number % 4])[0] == -signal.SIGKILL
        assert attempts.run(**attempt)[0] == 0
        assert attempts.last()[0] == 0
    assert_equal(troubled, steady, 240)


def newest(folder):
    """The step of the newest checkpoint."""
    return max((int(path.stem.removeprefix("step_")) for path in folder.rglob("step_*.npz")), default=0)
