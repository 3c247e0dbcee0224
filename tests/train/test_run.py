import csv
import math
import os
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import yaml

import clicv2_keras
from clicv2_keras.errors import UserError
from clicv2_keras.train import load_recipe
from clicv2_keras.train.journal import Diverged
from clicv2_keras.train.recipe_file import shipped_recipes
from clicv2_keras.train.run import spans

# Shrinks any recipe; what makes it that recipe stays.
TINY = [
    "data.image_size=32",
    "encoder.width=16",
    "encoder.depth=1",
    "encoder.num_heads=2",
    "contrast.projector_hidden=16",
    "contrast.projection_dim=8",
    "contrast.tokens=3",
    "entropy.decoder_width=16",
    "entropy.decoder_depth=1",
    "train.batch_size=4",
    "train.jit=false",
    "run.log_every=2",
]
FILES = {
    "recipe.yaml",
    "metrics.csv",
    "losses.png",
    "log.txt",
    "encoder.keras",
    "model.keras",
    "checkpoints",
    "tensorboard",
}


def tiny(folder, jpegs, *overrides):
    return [*TINY, "data.source=folder", f"data.path={jpegs}", f"run.dir={folder}", *overrides]


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")}
            for row in csv.DictReader(file)
        ]


def trained_weights(folder):
    return keras.saving.load_model(folder / "model.keras").get_weights()


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name != "quickstart"])
def test_every_recipe_takes_a_real_step(tmp_path, jpegs, name):
    steps = 0 if name == "ablation/random" else 1
    run = clicv2_keras.train(name, tiny(tmp_path / "run", jpegs, f"train.steps={steps}"), progress=False)
    entropy, contrast = run.model.entropy is not None, run.model.contrast is not None
    assert len(run.folder.rows) == steps
    for row in run.folder.rows:
        assert math.isfinite(float(row["loss"]))
        assert bool(row["entropy_loss"]) == entropy and bool(row["contrastive_loss"]) == contrast
    encoder = keras.saving.load_model(tmp_path / "run" / "encoder.keras")
    assert encoder.predict(np.zeros((2, 32, 32, 3), "uint8"), verbose=0).shape == (2, 4, 16)


def test_the_quickstart_ends_with_a_table_and_a_full_run_folder(tmp_path, capsys):
    folder = tmp_path / "run"
    overrides = [*TINY, f"run.dir={folder}", "train.steps=3", "data.num_images=8"]
    run = clicv2_keras.train("quickstart", overrides)
    assert {path.name for path in folder.iterdir()} == FILES
    assert [row["step"] for row in rows(folder)] == ["2", "3"]
    assert load_recipe(folder / "recipe.yaml") == load_recipe("quickstart", overrides)
    names = [name for name, pcc, srcc in run.table]
    assert names == ["trained encoder", "the same at random initialisation", "mean patch entropy"]
    assert all(-1 <= float(value) <= 1 for row in run.table for value in row[1:])
    shown = capsys.readouterr().out
    assert "step 2/3" in shown and "PCC" in shown and "Next" in shown
    for label in ("contrast", "entropy", "spread", "rank", "images/s"):
        assert label in shown


def test_a_run_folder_is_not_overwritten_and_only_continued_by_its_own_recipe(tmp_path, jpegs):
    folder = tmp_path / "run"
    overrides = tiny(folder, jpegs, "train.steps=2")
    clicv2_keras.train("quickstart", overrides, resume=True, progress=False)
    before = (folder / "metrics.csv").read_bytes()
    with pytest.raises(UserError, match="--resume"):
        clicv2_keras.train("quickstart", overrides, progress=False)
    with pytest.raises(UserError, match=r"optimizer\.learning_rate 0\.001, not 0\.1"):
        clicv2_keras.train("quickstart", [*overrides, "optimizer.learning_rate=0.1"], resume=True, progress=False)
    clicv2_keras.train("quickstart", overrides, resume=True, progress=False)
    assert (folder / "metrics.csv").read_bytes() == before


def test_a_broken_image_is_skipped_and_named(tmp_path, jpegs):
    images = tmp_path / "images"
    images.mkdir()
    for path in jpegs.glob("*.jpg"):
        (images / path.name).write_bytes(path.read_bytes())
    (images / "5.jpg").write_bytes(b"\xff\xd8\xff broken")
    run = clicv2_keras.train("quickstart", tiny(tmp_path / "run", images, "train.steps=4"), progress=False)
    log = (run.folder.path / "log.txt").read_text()
    assert "unreadable: " in log and "5.jpg" in log and "1 unreadable" in log


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_last_good_checkpoint(tmp_path, jpegs):
    folder = tmp_path / "run"
    diverging = ["train.steps=40", "run.log_every=1", "run.checkpoint_every=1", "optimizer.warmup_steps=39"]
    overrides = tiny(folder, jpegs, *diverging, "optimizer.learning_rate=1e38", "optimizer.weight_decay=0")
    with pytest.raises(Diverged) as caught:
        clicv2_keras.train("quickstart", overrides, progress=False)
    line = str(caught.value)
    assert "\n" not in line and "not finite at step" in line
    assert not (folder / "model.keras").exists()


def test_spans_cut_at_the_intervals():
    assert list(spans(0, 10, 5)) == [(0, 5, 2)]
    assert list(spans(0, 12, 5)) == [(0, 5, 2), (10, 2, 1)]
    assert list(spans(3, 12, 5)) == [(3, 2, 1), (5, 5, 1), (10, 2, 1)]
    assert list(spans(3, 4, 5)) == [(3, 1, 1)]
    assert list(spans(4, 4, 5)) == list(spans(0, 0, 5)) == []


def test_stopped_and_killed_and_resumed_a_run_ends_as_if_undisturbed(tmp_path, jpegs):
    steady, troubled = tmp_path / "steady", tmp_path / "troubled"
    overrides = ["train.steps=36", "run.log_every=4", "run.checkpoint_every=8"]
    clicv2_keras.train("quickstart", tiny(steady, jpegs, *overrides), progress=False)

    recipe = tmp_path / "recipe.yaml"
    values = load_recipe("quickstart", tiny(troubled, jpegs, *overrides)).model_dump()
    recipe.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-c", SLOWED, str(recipe)]
    stopped = disturb(command, troubled, signal.SIGTERM)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert b"--resume" in stopped.stderr and b"Traceback" not in stopped.stderr
    assert disturb(command, troubled, signal.SIGKILL).returncode == -signal.SIGKILL
    clicv2_keras.train(recipe, resume=True, progress=False)

    # The row of the interval that SIGTERM cut in two tells of its second part alone.
    cut = math.ceil(int(re.search(rb"stopped at step (\d+)", stopped.stderr)[1]) / 4) * 4
    mine, theirs = rows(troubled), rows(steady)
    assert [row["step"] for row in mine] == [row["step"] for row in theirs]
    assert [row for row in mine if row["step"] != str(cut)] == [row for row in theirs if row["step"] != str(cut)]
    for mine, theirs in zip(trained_weights(troubled), trained_weights(steady), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# Trains slowly enough to be disturbed.
SLOWED = """
import sys, time
from clicv2_keras.train import stop_signals
from clicv2_keras.train.backend import choose_backend
choose_backend()
from clicv2_keras.train.journal import Journal
original = Journal.on_train_batch_end
Journal.on_train_batch_end = lambda self, batch, logs: (time.sleep(0.1), original(self, batch, logs))
from clicv2_keras.cli.main import main
main(["train", sys.argv[1], "--resume"])
"""


def disturb(command, folder, number):
    """Run `command` and send it a signal once it has written a further checkpoint."""
    before = newest(folder)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    deadline = time.monotonic() + 120
    while newest(folder) <= before and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def newest(folder):
    return max((path.name for path in (folder / "checkpoints").glob("step_*")), default="")
