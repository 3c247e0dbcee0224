import io
import os
from types import SimpleNamespace

import pytest

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import find_images


def names(paths, **options):
    return [found.file for found in find_images(paths, **options)]


def test_a_folder_is_read_to_the_bottom_in_order(photos):
    (photos / "notes.txt").write_text("no image")
    (photos / "broken.JPG").write_text("an image by its name")
    (photos / "more" / "nameless").write_bytes((photos / "b.png").read_bytes())
    expected = ["a.jpg", "b.png", "broken.JPG", "more/c.webp", "more/d.gif", "more/e.bmp", "more/nameless"]
    assert names(photos) == [f"{photos}/{name}" for name in expected]
    assert names([f"{photos}/more/", photos / "a.jpg"])[-1] == f"{photos}/a.jpg"


def test_names_stay_as_they_were_given(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    assert names("photos")[0] == "photos/a.jpg"
    assert names("./photos/a.jpg") == ["./photos/a.jpg"]
    assert names("photos/*.*") == ["photos/a.jpg", "photos/b.png"]
    assert names("photos/**/*.*p")[-1] == "photos/more/e.bmp"


def test_a_named_file_counts_whatever_it_is(photos):
    (photos / "notes.txt").write_text("no image")
    (photos / "odd[1].jpg").touch()
    given = [f"{photos}/{name}" for name in ("notes.txt", "none.jpg", "odd[1].jpg")]
    assert names(given) == given


def test_a_list_on_standard_input(photos, monkeypatch):
    lines = f"\ufeff\n{photos}/a.jpg\r\n   \n{photos}/more\n{photos}/\udcff.jpg\n~with\0null.jpg".encode(
        errors="surrogateescape"
    )
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    found = list(find_images(["-", photos / "b.png"]))
    expected = ["a.jpg", "more/c.webp", "more/d.gif", "more/e.bmp", "\udcff.jpg"]
    assert [item.file for item in found] == [
        *(f"{photos}/{name}" for name in expected),
        "~with\0null.jpg",
        f"{photos}/b.png",
    ]


@pytest.mark.parametrize("data", [b"a.jpg\0b.jpg\0", b"\xff\xd8\xff\xe0\0\x10JFIF\n~\0", b"a.jpg\n" + bytes(2**20)])
def test_a_list_on_standard_input_that_is_none_is_told(data, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    with pytest.raises(UserError, match="are no names, one a line; give --null where they end in null bytes"):
        list(find_images("-"))


def test_a_folder_that_is_left_out_is_so_of_a_glob(photos):
    left_out = photos / "more"
    assert names(f"{photos}/**/*.*", leave_out=left_out) == [f"{photos}/a.jpg", f"{photos}/b.png"]
    assert len(names(f"{left_out}/*.*", leave_out=left_out)) == 3
    assert len(names(f"{photos}/m*/*.webp", leave_out=photos / "mo")) == 1


def test_what_holds_no_image_is_said(tmp_path):
    (tmp_path / "empty.jpg").mkdir()
    (found,) = find_images(tmp_path / "empty.jpg")
    assert found.error == "no image in this folder"
    (found,) = find_images(f"{tmp_path}/*.png")
    assert found.error == "no image matches"
    (found,) = find_images("s3://bucket/*.jpg")
    assert "--engine ray" in found.error
    with pytest.raises(UserError, match="no image is named"):
        list(find_images([]))


def test_links_in_circles_end_and_pipes_are_not_opened(photos):
    (photos / "more" / "again").symlink_to(photos)
    os.mkfifo(photos / "pipe")
    assert len(names(photos)) == 5


@pytest.mark.parametrize(
    ("begin", "folder"), [("", "photos/"), ("./", "./photos/"), ("photos/", "photos/"), ("pho*/", "photos/")]
)
def test_links_in_circles_end_in_a_glob(photos, monkeypatch, begin, folder):
    monkeypatch.chdir(photos.parent)
    for link in ("again", "and again"):
        (photos / "more" / link).symlink_to(photos)
    (photos / ".hidden").mkdir()
    (photos / ".hidden" / "f.jpg").touch()
    expected = [f"{folder}{name}" for name in ("a.jpg", "b.png", "more/c.webp", "more/d.gif", "more/e.bmp")]
    for stars in ("**", "**/*", "**/*.*", "**/**/*"):
        assert names(begin + stars) == expected
    assert names(f"{begin}**/more/**/*.gif")[0] == f"{folder}more/d.gif"


def test_a_folder_that_cannot_be_read_is_said(photos, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    *_, last = find_images(photos)
    assert last == (f"{photos}/more", "this folder cannot be read: Permission denied")


def test_the_overlays_folder_is_left_out(photos):
    assert len(names(photos, leave_out=photos / "more")) == 2


def test_a_name_that_no_file_can_have_is_said():
    (found,) = find_images(["\ud800.png"])
    assert found == ("\N{REPLACEMENT CHARACTER}.png", "not a path")
