import logging
import os

import pytest

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.skipped_images import SkippedImages
from clicv2_keras.training.source import recipe_source


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


def test_images_that_all_became_unreadable_are_a_fault(data, one_image):
    skipped = SkippedImages(data, range(1))
    skipped("1.jpg", "not an image")
    assert skipped.fault == f"{one_image}: none of the 1 images can be read any more"


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
