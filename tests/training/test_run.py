import csv
import math
import os
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_recipe import TINY

import clicv2_keras
from clicv2_keras.data.pipeline import batch_indices, training_dataset
from clicv2_keras.data.sources import FileSource
from clicv2_keras.models.find_model import find_model
from clicv2_keras.recipe.files import load_recipe, shipped_recipes
from clicv2_keras.training.plan import describe_run
from clicv2_keras.training.run import spans
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.utils.errors import Diverged, UserError

# Of the fixture `eagerly`.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")

FILES = {
    "recipe.yaml",
    "metrics.csv",
    "losses.png",
    "log.txt",
    "inputs.json",
    "encoder.keras",
    "encoder_ema.keras",
    "model.keras",
    "checkpoints",
    "tensorboard",
}


def tiny(folder, jpegs, *overrides):
    return [*TINY, "run.log_every=2", f"data.path={jpegs}", f"run.dir={folder}", *overrides]


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")}
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name != "quickstart"])
def test_every_recipe_takes_a_real_step(tmp_path, jpegs, network, name, eagerly):
    steps = 0 if name == "ablation/random" else 1
    overrides = tiny(tmp_path / "run", jpegs, f"train.steps={steps}", "guide.sample=8")
    if load_recipe(name).data.held_out:
        # There are a dozen images here.
        overrides += ["data.held_out=2"]
    if load_recipe(name).encoder.stem != "linear":
        overrides += [f"encoder.stem={network}", f"guide.teacher={network}"]
        overrides += ["optimizer.warmup_steps=0", "optimizer.decay_steps=1"]
    if load_recipe(name).contrast.keep_ratio < 1:
        # A quarter of the few patches here is one.
        overrides += ["contrast.keep_ratio=0.75"]
    run = clicv2_keras.train(name, overrides, progress=False)
    entropy, contrast = run.model.entropy is not None, run.model.contrast is not None
    assert len(run.folder.rows) == steps
    for row in run.folder.rows:
        assert math.isfinite(row["loss"])
        assert ("entropy_loss" in row) == entropy and ("contrastive_loss" in row) == contrast
    encoder = keras.saving.load_model(tmp_path / "run" / "encoder.keras")
    assert encoder.predict(np.zeros((2, 32, 32, 3), "uint8"), verbose=0).shape == (2, 4, encoder.output_dim)
    average = tmp_path / "run" / "encoder_ema.keras"
    if not contrast:
        with pytest.raises(UserError, match="no such file; a run has it at its end, with a contrastive branch"):
            find_model(average)
        return
    teacher = run.model.contrast.teacher_encoder.get_weights()
    for mine, theirs in zip(find_model(average).get_weights(), teacher, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # As trainable as the other, for finetune.
    assert len(find_model(average).trainable_weights) == len(encoder.trainable_weights) > 0


@pytest.mark.slow
def test_the_quickstart_ends_with_a_table_and_a_full_run_folder(tmp_path, capsys):
    folder = tmp_path / "run"
    overrides = [*TINY, "data.source=procedural", "data.num_images=8", "train.steps=3", "run.log_every=2"]
    overrides.append(f"run.dir={folder}")
    run = clicv2_keras.train("quickstart", overrides)
    assert {path.name for path in folder.iterdir()} == FILES
    assert [row["step"] for row in rows(folder)] == ["2", "3"]
    here = f"backend={keras.backend.backend()}"
    assert load_recipe(folder / "recipe.yaml") == load_recipe("quickstart", [*overrides, here])
    for predictor in ("model/ridge", "model/ridge_mean_token", "untrained/ridge", "no_model/mean_entropy"):
        assert all(-1 <= run.table[f"{predictor}/{metric}"] <= 1 for metric in ("pcc", "srcc"))
    assert all(isinstance(value, float) for value in run.table.values())
    shown = capsys.readouterr().out
    assert "step 2/3" in shown and "PCC" in shown and "Next" in shown
    for label in ("contrast", "entropy", "spread", "rank", "images/s"):
        assert label in shown


def test_a_run_folder_is_not_overwritten_and_only_continued_by_its_own_recipe(tmp_path, jpegs, eagerly):
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
    # On another backend the draws would be others.
    here = keras.backend.backend()
    assert load_recipe(folder / "recipe.yaml").backend == here
    with pytest.raises(UserError, match=f"was started with backend {here}, not jaxlike"):
        RunFolder(load_recipe("quickstart", overrides).model_copy(update={"backend": "jaxlike"})).check(resume=True)


def test_other_images_are_told_when_a_run_goes_on(tmp_path, jpegs, eagerly):
    images, folder = tmp_path / "images", tmp_path / "run"
    shutil.copytree(jpegs, images)
    overrides = tiny(folder, images, "train.steps=2")
    clicv2_keras.train("quickstart", overrides, progress=False)
    assert "the images are others" not in describe_run("quickstart", overrides, resume=True)
    shutil.copy(next(images.glob("*.jpg")), images / "new.jpg")
    count = len(list(images.rglob("*.jpg")))
    told = f"the images are others than when the run began ({count - 1}, now {count})"
    assert told in describe_run("quickstart", overrides, resume=True)
    clicv2_keras.train("quickstart", overrides, resume=True, progress=False)
    assert told in (folder / "log.txt").read_text()
    (folder / "inputs.json").write_text("[")
    with pytest.raises(UserError, match="inputs.json: is broken; move it away"):
        clicv2_keras.train("quickstart", overrides, resume=True, progress=False)


def test_a_broken_image_is_skipped_and_named(tmp_path, jpegs, eagerly):
    images = tmp_path / "images"
    images.mkdir()
    for path in jpegs.glob("*.jpg"):
        (images / path.name).write_bytes(path.read_bytes())
    # Its name is of another time.
    (images / "5.jpg").unlink()
    (images / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"\xff\xd8\xff broken")
    run = clicv2_keras.train("quickstart", tiny(tmp_path / "run", images, "train.steps=4"), progress=False)
    log = (run.folder.path / "log.txt").read_text()
    assert "unreadable: " in log and r"caf\udce9.jpg" in log and "1 unreadable" in log


def test_what_is_wrong_before_the_first_step_leaves_no_run_behind(tmp_path, jpegs, network, eagerly):
    overrides = tiny(tmp_path / "run", jpegs, "train.steps=1", "contrast.level=none", "entropy.weight=0")
    overrides += ["guide.sample=8", "optimizer.warmup_steps=0"]
    with pytest.raises(UserError, match=r"none\.keras: there is no such file"):
        clicv2_keras.train("quickstart", [*overrides, "guide.teacher=none.keras"], progress=False)
    assert not (tmp_path / "run").exists()
    # Somebody's file is kept, and stands in nobody's way.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"none\.keras: there is no such file"):
        clicv2_keras.train("quickstart", [*overrides, "guide.teacher=none.keras"], progress=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    run = clicv2_keras.train("quickstart", [*overrides, f"guide.teacher={network}"], progress=False)
    assert len(run.folder.rows) == 1
    # What only the first batch shows is before the first step as well.
    broken = tmp_path / "broken"
    broken.mkdir()
    for number in range(8):
        (broken / f"{number}.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(UserError, match="and all 8 images with it are unreadable"):
        clicv2_keras.train("quickstart", tiny(tmp_path / "other", broken, "train.steps=1"), progress=False)
    assert not (tmp_path / "other").exists()
    (tmp_path / "other" / "tensorboard" / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match="and all 8 images with it are unreadable"):
        clicv2_keras.train("quickstart", tiny(tmp_path / "other", broken, "train.steps=1"), progress=False)
    assert (tmp_path / "other" / "tensorboard" / "mine").exists() and not (tmp_path / "other" / "recipe.yaml").exists()
    # Nor does it take back what was begun before.
    with pytest.raises(UserError, match="was started with"):
        clicv2_keras.train("quickstart", [*overrides, "guide.teacher=none.keras"], resume=True, progress=False)
    assert (tmp_path / "run" / "recipe.yaml").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_names_its_images_and_checkpoint(tmp_path, jpegs, eagerly):
    folder = tmp_path / "run"
    diverging = ["train.steps=40", "run.log_every=1", "run.checkpoint_every=1", "optimizer.warmup_steps=39"]
    overrides = tiny(folder, jpegs, *diverging, "optimizer.learning_rate=1e38", "optimizer.weight_decay=0")
    with pytest.raises(Diverged) as caught:
        clicv2_keras.train("quickstart", overrides, progress=False)
    line = str(caught.value)
    step = int(re.search(r"not finite at step (\d+), on ", line)[1])
    batch = (folder / "diverged.txt").read_text().splitlines()
    source = FileSource.from_folder(jpegs)
    assert batch == [source.name(i) for i in batch_indices(source, 0, step - 1, 4)]
    assert f"on {', '.join(batch[:3])} and 1 more, all in diverged.txt; " in line
    last = max((folder / "checkpoints").iterdir(), default=None)
    assert (f"last good checkpoint: {last}" if last else "no checkpoint yet") in line
    assert "\n" not in line and line.removeprefix(f"{folder}: ") in (folder / "log.txt").read_text()
    assert not (folder / "model.keras").exists()


def test_the_images_of_a_batch_are_those_that_the_pipeline_reads(tmp_path):
    for i in range(7):
        Image.new("RGB", (8, 8), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
    source = FileSource.from_folder(tmp_path)
    batches = training_dataset(source, image_size=8, batch_size=4, jitter=0, seed=3, start_step=2)
    for step, batch in zip(range(2, 6), batches, strict=False):  # 7 images: epochs begin inside batches
        assert list(batch["image"][:, 4, 4, 0].numpy() // 30) == batch_indices(source, 3, step, 4)


def test_spans_cut_at_the_intervals():
    assert list(spans(0, 10, 5)) == [(0, 5, 2)]
    assert list(spans(0, 12, 5)) == [(0, 5, 2), (10, 2, 1)]
    assert list(spans(3, 12, 5)) == [(3, 2, 1), (5, 5, 1), (10, 2, 1)]
    assert list(spans(3, 4, 5)) == [(3, 1, 1)]
    assert list(spans(4, 4, 5)) == list(spans(0, 0, 5)) == []


def test_what_is_built_after_a_run_is_not_of_its_precision(jpegs, tmp_path):
    settings = [*TINY, f"data.path={jpegs}", "train.steps=1", "train.precision=bfloat16", f"run.dir={tmp_path}"]
    trained = clicv2_keras.train("quickstart", [*settings, "contrast.level=none"], progress=False)
    assert trained.model.encoder.dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
