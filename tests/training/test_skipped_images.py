import logging
import os
import shutil

import pytest
from tiny_recipe import TINY

import clicv2_keras
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.callbacks.safeguards import CheckpointWriter
from clicv2_keras.training.skipped_images import SkippedImages
from clicv2_keras.training.source import recipe_source
from clicv2_keras.utils.errors import ResourceLost


@pytest.fixture
def data(one_image):
    return load_recipe("quickstart", ["data.source=folder", f"data.path={one_image}"]).data


def test_one_unreadable_image_is_passed_over_and_named_once(data, caplog):
    skipped = SkippedImages(data, range(2))
    caplog.set_level(logging.DEBUG, "clicv2_keras")
    for _ in range(2):
        skipped("1.jpg", "not an image")
    assert skipped.fault is None and list(skipped.names) == ["1.jpg"]
    assert caplog.messages == ["unreadable: 1.jpg: not an image"]


def test_of_why_no_batch_can_be_filled_the_first_reason_is_kept(data):
    skipped = SkippedImages(data, range(1))
    skipped.fail("1.jpg and all 2 images with it are unreadable")
    skipped.fail("another thread found so too")
    assert skipped.fault == "1.jpg and all 2 images with it are unreadable"


def test_labelled_images_that_go_away_end_a_run_in_one_line(tmp_path, jpegs, scored, eagerly, monkeypatch):
    """Beside others that stay: who reads them is a thread of tf.data."""
    labelled = shutil.copytree(scored.parent, tmp_path / "labelled")
    keys = [f"data.path={jpegs}", f"run.dir={tmp_path / 'run'}", "train.steps=60", "run.log_every=1"]
    keys += [f"labels={{dataset: csv, root: {labelled / 'scores.csv'}, parts: [token], steadiness: 0}}"]

    def go_away(self, epoch, logs=None):
        for path in labelled.glob("*.jpg"):
            path.unlink()

    monkeypatch.setattr(CheckpointWriter, "on_epoch_end", go_away)
    with pytest.raises(ResourceLost, match=r"all 24 images with it are unreadable; .*no checkpoint yet.*--resume"):
        clicv2_keras.train("quickstart", [*TINY, "entropy.weight=0", *keys], progress=False)


@pytest.mark.parametrize("vanish", [os.rename, lambda folder, _: os.remove(folder / "1.jpg")])
def test_a_folder_that_went_away_or_is_empty_is_a_fault(data, one_image, vanish):
    skipped = SkippedImages(data, range(1000))
    vanish(one_image, one_image.with_name("away"))
    with pytest.raises(OSError):
        skipped("1.jpg", "no such file")
    assert skipped.fault == f"{one_image}: the folder of the images is gone or empty"
    assert not skipped.names


def test_a_list_whose_files_all_went_away_is_a_fault_at_the_first(tmp_path, one_image):
    names = [f"{number}.jpg" for number in range(5000)]
    (one_image / "4999.jpg").touch()
    (tmp_path / "list.txt").write_text("".join(f"images/{name}\n" for name in names))
    recipe = load_recipe("quickstart", ["data.source=list", f"data.path={tmp_path / 'list.txt'}"])
    skipped = SkippedImages(recipe.data, recipe_source(recipe))
    skipped("images/7.jpg", "no such file")
    assert skipped.fault is None and list(skipped.names) == ["images/7.jpg"]
    one_image.rename(tmp_path / "away")
    with pytest.raises(OSError):
        skipped("images/8.jpg", "no such file")
    assert skipped.fault == f"{tmp_path / 'list.txt'}: none of the 5000 files it names exists any more"
