"""A guide without a network: what slow programs count in the pixels, learnt by a recipe alone."""

import csv

import keras
import numpy as np
import pytest
from tiny_recipe import TINY

import clicv2_keras
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import ProceduralSource
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.models import CLICv2
from clicv2_keras.models.find_model import find_model
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.shapes import PIXEL_TARGETS
from clicv2_keras.training.batches import build_dataset
from clicv2_keras.training.pixel_measures import counted_complexity, pixel_measures, pixel_targets
from clicv2_keras.training.plan import describe_run
from clicv2_keras.training.source import recipe_source
from clicv2_keras.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")


def overrides(folder, images, *more):
    return [*TINY, f"data.path={images}", f"run.dir={folder}", "guide.sample=8", "run.log_every=2", *more]


@pytest.mark.slow
def test_unseen_images_are_told_as_they_are_counted(tmp_path, tiny_encoder, monkeypatch):
    # To count takes a tenth of a second an image: whole images only, each counted once.
    counted_before = {}

    def count(image):
        key = image.tobytes()
        if key not in counted_before:
            counted_before[key] = pixel_targets(image)
        return counted_before[key]

    monkeypatch.setattr("clicv2_keras.training.pixel_measures.pixel_targets", count)
    tiny_encoder.save(tmp_path / "start.keras")
    settings = [
        "data={source: procedural, num_images: 80, image_size: 64, min_area: 1, flip: false}",
        "train.steps=150",
    ]
    settings += [f"encoder={{weights: {tmp_path / 'start.keras'}, freeze_patch_projection: false, depth: null}}"]
    settings += ["train.batch_size=16", "train.jit=false", "guide.sample=64", "optimizer.learning_rate=5e-3"]
    run = clicv2_keras.train("pixels_vit_tiny", [*settings, f"run.dir={tmp_path / 'run'}"], progress=False)
    encoder = find_model(tmp_path / "run" / "encoder.keras")
    assert encoder.image_size == 64 and encoder.width == 16
    source = ProceduralSource(40, 64, seed=9)
    counted = [counted_complexity(pixel_measures(source.load(i))) for i in range(40)]
    guide = find_model(tmp_path / "run").guide
    _, told = guide.predict(encoder(load_images(source, range(40), 64)))
    assert srcc(keras.ops.convert_to_numpy(told)[:, -1], counted) > 0.5
    assert run.folder.rows[-1]["guide_pooled"] > 0.3
    # The run ends with a scorer, which tells unseen images apart as they are counted. No label was read.
    scorer = find_model(tmp_path / "run" / "scorer.keras")
    assert srcc(scorer.predict(load_images(source, range(40), 64), verbose=0)["score"], counted) > 0.5
    assert len(encoder.fitted_to) == len(scorer.head.fitted_to) == 0
    assert f"export {tmp_path / 'run' / 'scorer.keras'}" in (tmp_path / "run" / "log.txt").read_text()


def test_the_measures_are_those_of_the_very_view_that_the_encoder_reads(tmp_path, jpegs):
    recipe = load_recipe("pixels_vit_tiny", overrides(tmp_path, jpegs))
    batch = next(iter(build_dataset(recipe, recipe_source(recipe), 3, None).as_numpy_iterator()))
    assert set(batch) == {"image", "guide_measures"} and batch["guide_measures"].shape == (4, PIXEL_TARGETS)
    for image, measures in zip(batch["image"], batch["guide_measures"], strict=True):
        np.testing.assert_array_equal(pixel_targets(image), measures)


@pytest.mark.slow
def test_beside_the_other_branches_on_images_held_out(tmp_path, jpegs, eagerly):
    more = ["contrast.level=patch", "entropy.weight=1", "data.held_out=3", "data.jitter=0", "probe.every=2"]
    clicv2_keras.train("pixels_vit_tiny", overrides(tmp_path / "run", jpegs, "train.steps=2", *more), progress=False)
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    parts = [float(row[name]) for name in ("contrastive_loss", "entropy_loss", "guide_loss")]
    np.testing.assert_allclose(float(row["loss"]), sum(parts), rtol=1e-4)
    assert row["guide_grid"] == row["held_out_grid"] == "" and float(row["held_out_pooled"]) <= 1


@pytest.mark.slow
def test_vectors_do_not_decay(tmp_path, jpegs, decays):
    found = decays(CLICv2)
    clicv2_keras.train("pixels_vit_tiny", overrides(tmp_path / "run", jpegs, "train.steps=4"), progress=False)
    assert {moved for dimensions, moved in found if dimensions < 2} == {False}
    assert {moved for dimensions, moved in found if dimensions >= 2} == {True}


@pytest.mark.slow
def test_a_broken_image_is_named_and_passed_over(tmp_path, jpegs):
    images = tmp_path / "images"
    images.mkdir()
    for path in jpegs.glob("*.jpg"):
        (images / path.name).write_bytes(path.read_bytes())
    (images / "5.jpg").write_bytes(b"\xff\xd8\xff no more")
    clicv2_keras.train("pixels_vit_tiny", overrides(tmp_path / "run", images, "train.steps=2"), progress=False)
    assert "5.jpg" in (tmp_path / "run" / "log.txt").read_text()


def test_a_dry_run_tells_what_is_counted(jpegs, tmp_path, tiny_encoder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_encoder.save(tmp_path / "start.keras")
    start = [
        f"data.path={jpegs}",
        f"encoder={{weights: {tmp_path / 'start.keras'}, depth: null}}",
        "data.image_size=64",
    ]
    told = describe_run("pixels_vit_tiny", start)
    assert "guide       28 numbers counted in the pixels" in told and "patches of 8 × 8 pixels, 1 blocks" in told


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.image_size=100", "data.image_size: 100 is not a multiple of the patch of 8 pixels"),
        ("encoder.width=8", "encoder.width: the shape is that of encoder.weights"),
        ("encoder.weights=nothing.keras", "MODEL nothing.keras: there is no such file"),
    ],
)
def test_mistakes_in_one_line(tmp_path, jpegs, tiny_encoder, override, message):
    tiny_encoder.save(tmp_path / "start.keras")
    given = [f"data.path={jpegs}", f"encoder={{weights: {tmp_path / 'start.keras'}, depth: null}}", override]
    with pytest.raises(UserError, match=message):
        clicv2_keras.train("pixels_vit_tiny", [*given, f"run.dir={tmp_path / 'run'}"], progress=False)
