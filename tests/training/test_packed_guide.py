"""A guide whose teacher was asked beforehand: packed targets are those that it would give in the step."""

import csv
import io
import json
import re
import shutil

import keras
import numpy as np
import pytest
from tiny_network import tiny_feature_maps
from tiny_recipe import TINY

import clicv2_keras
from clicv2_keras.data.records.packed_targets import PackedTargets
from clicv2_keras.models.find_model import find_model
from clicv2_keras.models.open_feature_maps import open_feature_maps, open_teacher
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.batches import build_dataset
from clicv2_keras.training.build import build_model
from clicv2_keras.training.pack_targets import pack_targets
from clicv2_keras.training.plan import describe_run
from clicv2_keras.training.source import recipe_source
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import FolderLock

pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")
VIEWS = {"image_size": 32, "patch_size": 8, "min_area": 0.4}


def pack(images, output, teacher, views=2, **changes):
    return clicv2_keras.prepare(images, output, teacher=str(teacher), views=views, progress=False, **VIEWS | changes)


@pytest.fixture(scope="module")
def packed(tmp_path_factory, jpegs, network):
    """Records of 12 images in several shards, with the targets of two views each."""
    folder = tmp_path_factory.mktemp("packed") / "records"
    pack(jpegs, folder, network, shard_size=0.01)
    return folder


def overrides(records, *more):
    settings = [*TINY, "data.source=records", "data.min_area=0.4", f"data.path={records}", "guide.teacher=packed"]
    settings += ["contrast.level=none", "entropy.weight=0", "encoder.patch_size=8", "data.held_out=3"]
    return [*settings, "train.steps=4", "run.log_every=2", "run.checkpoint_every=2", "probe.every=2", *more]


def recipe_of(records, *more):
    return load_recipe("quickstart", overrides(records, *more))


def test_they_are_what_the_teacher_sees_of_the_very_view_that_the_encoder_reads(packed, network):
    recipe = recipe_of(packed, "train.batch_size=3")
    source = recipe_source(recipe)
    teacher, targets = open_feature_maps(network), build_model(recipe).guide.targets
    assert np.ptp(targets.get_weights()[1]) > 0
    batches = build_dataset(recipe, source, 0, None).take(9).as_numpy_iterator()
    seen = []
    for batch in batches:
        assert set(batch) == {"image", "guide_grid", "guide_pooled"}
        for expected, name in zip(targets(teacher(batch["image"])), ("guide_grid", "guide_pooled"), strict=True):
            # float16 has 11 bits.
            np.testing.assert_allclose(batch[name], keras.ops.convert_to_numpy(expected), rtol=2e-3, atol=2e-3)
        seen += [image.tobytes() for image in batch["image"]]
    # Nine images an epoch: two views each, then the first again. Of a flat picture all crops are alike.
    first, second, third = (set(seen[start : start + 9]) for start in (0, 9, 18))
    assert len(first) == len(second) == 9 and len(first & second) <= 1 and third == first


def test_a_run_learns_from_them_and_is_judged_on_images_held_out(packed, tmp_path):
    run = clicv2_keras.train("quickstart", [*overrides(packed), f"run.dir={tmp_path / 'run'}"], progress=False)
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("guide_loss", "guide_grid", "guide_pooled", "held_out_grid", "held_out_pooled"):
        assert all(np.isfinite(float(row[name])) for row in rows), name
    targets = find_model(tmp_path / "run").guide.targets
    assert targets.grid_dim == PackedTargets(packed).packing.grid_dim
    for mine, theirs in zip(targets.get_weights(), run.model.guide.targets.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_beside_the_contrast_of_two_crops_each_view_keeps_its_targets(packed, network):
    recipe = recipe_of(packed, "contrast.level=image", "data.views=two_crops", "data.jitter=0")
    batch = next(build_dataset(recipe, recipe_source(recipe), 0, None).as_numpy_iterator())
    targets = build_model(recipe).guide.targets
    grid, _ = targets(open_feature_maps(network)(batch["image"]))
    np.testing.assert_allclose(batch["guide_grid"], keras.ops.convert_to_numpy(grid), rtol=2e-3, atol=2e-3)
    assert (batch["view_b"] != batch["view_a"]).any()


def test_more_views_join_and_what_is_missing_is_packed_again(jpegs, network, tmp_path):
    folder = tmp_path / "records"
    pack(jpegs, folder, network, views=1)
    (first,) = (folder / "targets").glob("*.npy")
    before = first.read_bytes()
    pack(jpegs, folder, network, views=3)
    assert first.read_bytes() == before and PackedTargets(folder).packing.views == 3
    first.unlink()
    with pytest.raises(UserError, match="00000.000.npy: is missing or damaged; run the same clicv2-keras prepare"):
        PackedTargets(folder)
    pack(jpegs, folder, network, views=3)
    assert first.read_bytes() == before
    # Stopped between two views, what is there can be trained on.
    about = folder / "targets" / "targets.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"views": 2}))
    assert PackedTargets(folder).packing.views == 2
    archive = io.BytesIO()
    np.savez(archive, before=np.zeros(1))
    # Cut off, a header that is no Python, a shape that no machine counts, an archive.
    header = before.replace(b"'descr'", b"'descr\0")
    shape = re.sub(rb"\(12, (\d+)\), }", rb"(%d, \1), }" % 2**70, before)
    for damaged in (before[:-7], header, shape, archive.getvalue()):
        first.write_bytes(damaged)
        with pytest.raises(UserError, match="00000.000.npy: is missing or damaged"):
            PackedTargets(folder)
    pack(jpegs, folder, network, views=3)
    assert first.read_bytes() == before


def test_of_one_image_no_components_can_be_found(jpegs, network, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(min(jpegs.glob("*.jpg")), tmp_path / "one")
    with pytest.raises(UserError, match="holds one image"):
        pack(tmp_path / "one", tmp_path / "records", network)


def test_two_processes_do_not_pack_targets_into_one_folder(packed, network):
    with FolderLock(packed), pytest.raises(UserError, match="another process is at work there"):
        pack_targets(packed, str(network), open_teacher(str(network)), 2, progress=False, **VIEWS)


def test_a_saved_model_teaches_as_its_keras_file_does(jpegs, network, packed, tmp_path):
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        pytest.skip("a SavedModel is made of a Keras model by TensorFlow alone")
    maps = tiny_feature_maps()

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def serve(images):
        return {f"stage {i}": each for i, each in enumerate(maps(images))}

    tf.saved_model.save(maps, str(tmp_path / "served"), signatures=serve)
    pack(jpegs, tmp_path / "records", tmp_path / "served", shard_size=0.01)
    mine, theirs = PackedTargets(tmp_path / "records"), PackedTargets(packed)
    assert mine.packing.strides == [2, 4, 8, 16] == theirs.packing.strides
    for name in ("00000.000.npy", "00001.001.npy"):
        values = [np.load(each.folder / name) for each in (mine, theirs)]
        # A component's sign is its own: the same up to it.
        np.testing.assert_allclose(np.abs(values[0]), np.abs(values[1]), atol=5e-3)
    with pytest.raises(UserError, match="a SavedModel teaches from packed targets alone"):
        open_feature_maps(tmp_path / "served")
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(UserError, match="cannot be read as a SavedModel with a serving_default"):
        open_teacher(tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.min_area=0.5"], r"data.min_area: is 0.5, of the packed targets 0.4; take the same"),
        (["data.image_size=64"], r"data.image_size: is 64, of the packed targets 32"),
        (["encoder.patch_size=16"], r"encoder.patch_size: is 16, of the packed targets 8"),
        (["guide.grid_dim=5"], r"guide.grid_dim: is 5, of the packed targets 28; take the same"),
        (["guide.pooled_dim=6"], r"guide.pooled_dim: is 6, of the packed targets 28"),
        (["data.flip=false"], r"data.flip: of packed views half are mirrored"),
        (["data.source=folder"], r"guide.teacher: packed targets lie beside records"),
        (["data.path=null"], r"data.path: the (images|records) are yours to name"),
    ],
)
def test_what_does_not_fit_is_one_line(packed, changes, message):
    for call in (describe_run, lambda recipe: clicv2_keras.train(recipe, progress=False)):
        with pytest.raises(UserError, match=message):
            call(recipe_of(packed, *changes))


@pytest.mark.parametrize("name", ["views", *VIEWS])
def test_views_are_refused_where_no_teacher_is_shown_them(jpegs, tmp_path, name):
    with pytest.raises(UserError, match=f"^--{name.replace('_', '-')}: is of the views that a teacher is shown"):
        clicv2_keras.prepare(jpegs, tmp_path / "records", progress=False, **{name: {"views": 2, **VIEWS}[name]})
    assert not (tmp_path / "records").exists()


def test_what_is_not_packed_or_of_another_teacher_is_one_line(packed, jpegs, network, tmp_path):
    clicv2_keras.prepare(jpegs, tmp_path / "images alone", progress=False)
    with pytest.raises(UserError, match="holds no guide's targets, or not all yet"):
        describe_run(recipe_of(tmp_path / "images alone"))
    tiny_feature_maps(seed=1).save(tmp_path / "other.keras")
    for changes in ({"teacher": tmp_path / "other.keras"}, {"teacher": network, "min_area": 0.3}):
        with pytest.raises(UserError, match="holds targets of another teacher or of other views"):
            pack(jpegs, packed, shard_size=0.01, **changes)
    nothing = tmp_path / "nothing"
    for teacher, changes in ((tmp_path / "none.keras", {}), (network, {"patch_size": 5})):
        with pytest.raises(UserError, match="there is no such file|is not a multiple of --patch-size 5"):
            pack(jpegs, nothing, teacher, **changes)
    assert not nothing.exists()
    (packed / "targets" / "targets.json").rename(tmp_path / "kept")
    (packed / "targets" / "targets.json").write_text("[")
    with pytest.raises(UserError, match="targets.json: is damaged"):
        PackedTargets(packed)
    (tmp_path / "kept").replace(packed / "targets" / "targets.json")
    (packed / "targets" / "projection.npz").rename(tmp_path / "kept")
    for damaged in (b"[", (packed / "targets" / "00000.001.npy").read_bytes()):
        (packed / "targets" / "projection.npz").write_bytes(damaged)
        with pytest.raises(UserError, match="projection.npz: is missing or damaged; remove"):
            build_model(recipe_of(packed))
    (tmp_path / "kept").replace(packed / "targets" / "projection.npz")
    (packed / "targets" / "00000.001.npy").rename(tmp_path / "kept")
    with pytest.raises(UserError, match="00000.001.npy: is missing or damaged"):
        describe_run(recipe_of(packed))
    (tmp_path / "kept").replace(packed / "targets" / "00000.001.npy")


def test_a_dry_run_tells_whose_they_are(packed, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"guide       2 packed views an image, of {network}" in describe_run(recipe_of(packed))
