"""Gradient accumulation: a step of several micro-batches is one step everywhere."""

import csv
import os
import signal

import keras
import numpy as np
import pytest

import clicv2_keras
from clicv2_keras.training.callbacks.interval import Interval
from clicv2_keras.training.plan import describe_run
from clicv2_keras.utils.errors import Interrupted, UserError

# Of the fixture `eagerly`.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")
LINE = "2 micro-batches of 2 images a step; negatives and batch statistics are those of a micro-batch of 2"


def settings(folder, jpegs):
    return [
        "data={source: folder, image_size: 32, views: same_crop, jitter: 0}",
        f"data.path={jpegs}",
        "encoder={preset: vit_tiny_patch16, width: 16, depth: 1, num_heads: 2}",
        "contrast={tokens: 3, projector_hidden: 16, projection_dim: 8}",
        "entropy.weight=0",
        "train={batch_size: 4, accumulate: 2, steps: 4, jit: false}",
        "run.log_every=4",
        f"run.dir={folder}",
    ]


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_a_step_is_all_of_its_micro_batches(tmp_path, jpegs, monkeypatch, eagerly):
    steady, stopped = tmp_path / "steady", tmp_path / "stopped"
    clicv2_keras.train("quickstart", settings(steady, jpegs), progress=False)
    (row,) = rows(steady)
    assert row["step"] == "4"
    assert LINE in (steady / "log.txt").read_text()

    with monkeypatch.context() as patch:
        original_end = Interval.on_train_batch_end

        def end(self, batch, logs=None):
            if self.step == 1 and batch == 3:  # in the second step
                os.kill(os.getpid(), signal.SIGTERM)
            original_end(self, batch, logs)

        patch.setattr(Interval, "on_train_batch_end", end)
        with pytest.raises(Interrupted, match="stopped at step 2 of 4"):
            clicv2_keras.train("quickstart", settings(stopped, jpegs), progress=False)
    clicv2_keras.train("quickstart", settings(stopped, jpegs), resume=True, progress=False)
    assert rows(stopped) == [row]
    with (
        np.load(steady / "checkpoints" / "step_00000004.npz") as a,
        np.load(stopped / "checkpoints" / "step_00000004.npz") as b,
    ):
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.slow
def test_the_rate_of_every_row_is_that_without(tmp_path, jpegs, eagerly):
    rates = []
    for accumulate in (1, 2):
        folder = tmp_path / str(accumulate)
        overrides = [*settings(folder, jpegs), f"train.accumulate={accumulate}", "run.log_every=1"]
        clicv2_keras.train("quickstart", [*overrides, "optimizer.warmup_steps=2"], progress=False)
        rates.append([float(row["learning_rate"]) for row in rows(folder)])
    assert rates[0] == rates[1] and len(set(rates[0])) == 4, rates


def test_a_dry_run_tells_whose_negatives(tmp_path, jpegs):
    if keras.backend.backend() == "torch":
        pytest.skip("has no devices to share a batch")
    several = "distribution={strategy: data_parallel, devices: 2}"
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(UserError, match="TensorFlow cannot, with data_parallel"):
            describe_run("quickstart", [*settings(tmp_path, jpegs), several])
        return
    told = describe_run("quickstart", [*settings(tmp_path, jpegs), several])
    assert LINE in told and "2, each with a share of every batch" in told


@pytest.mark.slow
def test_a_branch_counts_its_steps_as_the_run_that_it_is_of(tmp_path, jpegs, eagerly):
    clicv2_keras.train("quickstart", settings(tmp_path / "run", jpegs), progress=False)
    more = [*settings(tmp_path / "branch", jpegs), "train.batch_size=8", "train.accumulate=4", "train.steps=6"]
    with pytest.raises(UserError, match="by 4 the checkpoint of step 4 is of step 2; take the number"):
        clicv2_keras.train("quickstart", more, begin=tmp_path / "run", progress=False)
    assert not (tmp_path / "branch").exists()
