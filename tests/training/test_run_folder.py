import os

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.callbacks.events import cut_events
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.training.skipped_images import SkippedImages
from clicv2_keras.training.source import recipe_source


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").touch()
    return tmp_path / "images"


@pytest.fixture
def folder(tmp_path, images):
    overrides = [f"run.dir={tmp_path / 'run'}", "data.source=folder", f"data.path={images}"]
    folder = RunFolder(load_recipe("quickstart", overrides))
    assert folder.open(resume=False) == (0, [])
    return folder


def test_a_full_disk_is_told_with_its_file_and_leaves_the_rows(folder):
    folder.add_row({"step": 1, "loss": 0.5})
    before = (folder.path / "metrics.csv").read_bytes()
    (folder.path / "unfinished_metrics.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        folder.add_row({"step": 2, "loss": 0.4})
    assert caught.value.filename == str(folder.path / "metrics.csv")
    assert (folder.path / "metrics.csv").read_bytes() == before
    assert not list(folder.path.glob("unfinished*"))


def test_a_log_on_a_full_disk_is_told_with_its_file(folder):
    (folder.path / "log.txt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        folder.log("a line")
    assert caught.value.filename == str(folder.path / "log.txt")


def test_rows_after_the_checkpoint_are_told_anew(folder):
    folder.add_row({"step": 1, "loss": 0.5})
    again = RunFolder(folder.recipe)
    assert again.open(resume=True) == (0, [])
    assert again.rows == []


def test_one_unreadable_image_is_passed_over_and_named_once(folder):
    skipped = SkippedImages(folder, range(2))
    for _ in range(2):
        skipped("1.jpg", "not an image")
    assert skipped.fault is None and list(skipped.names) == ["1.jpg"]
    assert (folder.path / "log.txt").read_text().count("unreadable: 1.jpg: not an image") == 1


def test_images_that_all_became_unreadable_are_a_fault(folder, images):
    skipped = SkippedImages(folder, range(1))
    skipped("1.jpg", "not an image")
    assert skipped.fault == f"{images}: none of the 1 images can be read any more"


@pytest.mark.parametrize("vanish", [os.rename, lambda folder, _: os.remove(folder / "1.jpg")])
def test_a_folder_that_went_away_or_is_empty_is_a_fault(folder, images, vanish):
    skipped = SkippedImages(folder, range(1000))
    vanish(images, images.with_name("away"))
    with pytest.raises(OSError):
        skipped("1.jpg", "no such file")
    assert skipped.fault == f"{images}: the folder of the images is gone or empty"
    assert not skipped.names


def test_a_list_whose_files_all_went_away_is_a_fault_at_the_first(tmp_path, images):
    names = [f"{number}.jpg" for number in range(5000)]
    (images / "4999.jpg").touch()
    (tmp_path / "list.txt").write_text("".join(f"images/{name}\n" for name in names))
    overrides = [f"run.dir={tmp_path / 'listed'}", "data.source=list", f"data.path={tmp_path / 'list.txt'}"]
    recipe = load_recipe("quickstart", overrides)
    folder = RunFolder(recipe)
    folder.open(resume=False)
    skipped = SkippedImages(folder, recipe_source(recipe))
    skipped("images/7.jpg", "no such file")
    assert skipped.fault is None and list(skipped.names) == ["images/7.jpg"]
    images.rename(tmp_path / "away")
    with pytest.raises(OSError):
        skipped("images/8.jpg", "no such file")
    assert skipped.fault == f"{tmp_path / 'list.txt'}: none of the 5000 files it names exists any more"


def test_events_after_the_checkpoint_and_unfinished_ones_are_cut_off(tmp_path):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in range(1, 9):
            tf.summary.scalar("loss", 0.5, step=step)
    (file,) = tmp_path.iterdir()

    def steps():
        return [event.step for event in EventFileLoader(str(file)).Load() if event.summary.value]

    cut_events(tmp_path, 20)
    assert steps() == list(range(1, 9))
    os.truncate(file, file.stat().st_size - 1)
    cut_events(tmp_path, 20)
    assert steps() == list(range(1, 8))
    cut_events(tmp_path, 4)
    assert steps() == [1, 2, 3, 4]
