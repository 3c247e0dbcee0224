import os
import shutil

import pytest

from clicv2_keras.data.sources import open_source
from clicv2_keras.utils.errors import UserError


def test_folder_is_read_to_the_bottom_in_order_by_name_and_by_bytes(photos):
    (photos / "notes.txt").write_text("no image at all")
    (photos / "broken.jpg").write_text("an image by its name")
    source = open_source("folder", photos)
    names = [source.name(i).removeprefix(f"{photos}/") for i in range(len(source))]
    assert names == sorted(["0", "2.jpg", "4.jpg", "broken.jpg", "more/1.jpg", "more/3.jpg", "more/5.jpg"])
    assert source.load(0).size == (60, 40)


def test_list_file(photos):
    (photos / "train.txt").write_text("# two of them\n\nmore/1.jpg\n  4.jpg \n")
    source = open_source("list", photos / "train.txt")
    assert [source.name(i) for i in range(len(source))] == ["more/1.jpg", "4.jpg"]
    assert source.load(1).size == (60, 40)


def test_a_list_may_name_what_is_below_home(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos / "more"))
    (photos / "train.txt").write_text("~/1.jpg\n4.jpg\n")
    source = open_source("list", photos / "train.txt")
    assert source.names == ["~/1.jpg", "4.jpg"] and source.load(0).size == (60, 40)


def test_a_list_is_cut_at_line_feeds_alone(photos):
    names = [f"{letter}.jpg" for letter in ("a\u2028b", "a\x0bb", "a\x0cb", "a\x85b")]
    (photos / "train.txt").write_bytes("\r\n".join(names).encode())
    for name in names:
        (photos / name).touch()
    assert open_source("list", photos / "train.txt").names == names


def test_a_list_names_files_whose_names_are_not_unicode(photos):
    os.rename(photos / "4.jpg", os.fsencode(photos) + b"/\xff.jpg")
    (photos / "train.txt").write_bytes(b"\xff.jpg\nmore/1.jpg\n")
    source = open_source("list", photos / "train.txt")
    assert source.names == ["\udcff.jpg", "more/1.jpg"] and source.load(0).size == (60, 40)


def test_names_that_are_too_long_are_told(photos):
    too_long = "x" * 300
    (photos / "train.txt").write_text(f"{too_long}\n4.jpg\n")
    assert len(open_source("list", photos / "train.txt")) == 2
    for kind, message in (("folder", "no such folder"), ("list", "no such list file")):
        with pytest.raises(UserError, match=message):
            open_source(kind, photos / too_long)


def test_what_is_wrong_with_a_folder_is_one_line(photos, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="holds no image"):
        open_source("folder", empty)
    (empty / "a.txt").write_text("text")
    with pytest.raises(UserError, match="holds no image"):
        open_source("folder", empty)
    with pytest.raises(UserError, match="no such folder"):
        open_source("folder", tmp_path / "none")
    with pytest.raises(UserError, match="this is a file"):
        open_source("folder", photos / "2.jpg")


def test_what_is_wrong_with_a_list_is_one_line(photos):
    for content, message in [("", "names no image"), ("# nothing\n", "names no image"), ("a.jpg\n", "none of the 1")]:
        (photos / "list.txt").write_text(content)
        with pytest.raises(UserError, match=message):
            open_source("list", photos / "list.txt")
    with pytest.raises(UserError, match="no such list file"):
        open_source("list", photos / "none.txt")
    with pytest.raises(UserError, match="this is no text file"):
        open_source("list", photos / "2.jpg")


def test_a_linked_folder_is_followed(photos, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "there").symlink_to(photos)
    assert len(open_source("folder", tmp_path / "linked")) == 6
    shutil.rmtree(photos)
    with pytest.raises(UserError, match="holds no image"):
        open_source("folder", tmp_path / "linked")
