"""Tiles of large pictures: they cover it, score as files of their pixels would, and are gone on with."""

import csv

import numpy as np
import pytest
from PIL import Image

import clicv2_keras
from clicv2_keras.deployment.scoring.tiles import Tiling, split_tile, tile_name, tiling_of
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture
def picture(tmp_path):
    """150 x 100 pixels, in PNG."""
    path = tmp_path / "big.png"
    Image.fromarray(procedural_image(5, 150)[0][:100]).save(path)
    return path


@pytest.mark.parametrize("size,stride", [(64, 64), (64, 32), (40, 7), (500, 500), (100, 100)])
def test_tiles_cover_each_pixel_and_stay_inside(size, stride):
    covered = np.zeros((100, 150), bool)
    boxes = list(Tiling(size, stride).boxes(150, 100))
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 150 and 0 <= top < bottom <= 100
        assert (right - left, bottom - top) == (min(size, 150), min(size, 100))
        covered[top:bottom, left:right] = True
    assert covered.all() and len(set(boxes)) == len(boxes)


def test_a_tile_scores_as_a_file_of_its_pixels(picture, tmp_path, scorer):
    rows = list(clicv2_keras.score(picture, tile=64, stride=48))
    assert len(rows) == 6 and len({row.score for row in rows}) == 6
    for row in rows:
        file, box = split_tile(row.file)
        assert (file, row.width, row.height) == (str(picture), 150, 100)
        Image.open(picture).crop(box).save(tmp_path / "tile.png")
        assert row.score == round(scorer.score(tmp_path / "tile.png").score, 6)


def test_names_of_tiles_go_both_ways():
    assert tile_name("a#b.jpg", (3, 4, 10, 20)) == "a#b.jpg#xywh=3,4,7,16"
    assert split_tile("a#b.jpg#xywh=3,4,7,16") == ("a#b.jpg", (3, 4, 10, 20))
    assert split_tile("a\nb#xywh=0,0,1,1") == ("a\nb", (0, 0, 1, 1))
    assert split_tile("a.jpg") == ("a.jpg", None) and tile_name("a.jpg", None) == "a.jpg"


def test_tiles_that_do_not_fit_are_told(picture):
    assert tiling_of(None, None) is None and tiling_of(8, None) == Tiling(8, 8)
    with pytest.raises(UserError, match="--stride"):
        tiling_of(None, 8)
    with pytest.raises(UserError, match="gaps"):
        tiling_of(8, 9)
    for tile, stride in ((0, None), (-8, None), (8, 0), (8, -4)):
        with pytest.raises(UserError, match="1 pixel or more"):
            tiling_of(tile, stride)
    with pytest.raises(UserError, match="--maps"):
        clicv2_keras.score(picture, tile=64, maps="maps")
    with pytest.raises(UnreadableImage, match="too many"):
        list(Tiling(8, 1).boxes(10_000, 10_000))


@pytest.mark.parametrize("kept", [0, 1, 5, 6, 9, 12, 13])
def test_resume_scores_the_tiles_of_a_cut_picture_again(picture, tmp_path, kept):
    Image.open(picture).rotate(90, expand=True).save(tmp_path / "other.png")
    (tmp_path / "broken.png").write_bytes(b"none")
    paths = [picture, tmp_path / "other.png", tmp_path / "broken.png"]
    output = tmp_path / "rows.csv"
    counts = clicv2_keras.score_to_file(paths, output, tile=64, stride=48)
    assert (counts.scored, counts.failed) == (12, 1)
    whole = output.read_bytes()
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[: 1 + kept]))
    seen = []
    again = clicv2_keras.score_to_file(paths, output, tile=64, stride=48, resume=True, report=seen.append)
    assert output.read_bytes() == whole and again == counts and len(seen) == 13
    rows = list(csv.DictReader(output.open()))
    assert rows[-1]["error"] and rows[-1]["file"].endswith("broken.png")
    for other in ({"tile": 32}, {}):
        with pytest.raises(UserError, match="--resume"):
            clicv2_keras.score_to_file(paths, output, resume=True, **other)


def test_resume_with_tiles_too_many_is_told_as_other_tiles(tmp_path):
    picture, output = tmp_path / "large.png", tmp_path / "rows.csv"
    Image.new("L", (1000, 1000)).save(picture)
    clicv2_keras.score_to_file(picture, output, tile=1000)
    before = output.read_bytes()
    with pytest.raises(UserError, match="--resume: .*rows.csv: was begun with another --tile or --stride, or without"):
        clicv2_keras.score_to_file(picture, output, tile=2, resume=True)
    assert output.read_bytes() == before
