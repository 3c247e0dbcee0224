from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

import clicv2_keras
from clicv2_keras.deployment.scoring.maps_folder import MapsFolder
from clicv2_keras.deployment.scoring.scorer import Score
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.overlays import CIVIDIS, OPACITY, map_limits, overlay
from clicv2_keras.utils.procedural import procedural_image


def test_the_colours_are_cividis():
    np.testing.assert_array_equal(CIVIDIS, colormaps["cividis"](np.arange(256), bytes=True)[:, :3])


def test_each_cell_has_its_colour_over_its_part_of_the_image():
    grid = np.array([[0.2, 0.4, 0.6], [0.6, 0.8, 1.0]], "float32")
    image = np.asarray(overlay(Image.new("RGB", (30, 20), (100, 100, 100)), grid)).astype(int)
    assert image.shape == (20, 30, 3)
    for (row, column), value in np.ndenumerate(grid):
        color = CIVIDIS[round((value - 0.2) / 0.8 * 255)]
        cell = image[10 * row : 10 * row + 10, 10 * column : 10 * column + 10]
        assert np.abs(cell - (OPACITY * color + (1 - OPACITY) * 100)).max() <= 1


def test_alike_cells_have_alike_colours():
    low, high = map_limits(np.array([[0.5, 0.51]]))
    assert high - low == pytest.approx(0.1) and (low + high) / 2 == pytest.approx(0.505)
    assert map_limits(np.array([[1.0, 1.0]])) == pytest.approx((0.9, 1.0))
    assert map_limits(np.array([[0.0, 0.0]])) == pytest.approx((0, 0.1))


def test_large_images_are_overlaid_smaller(tmp_path):
    folder = MapsFolder(tmp_path / "maps")
    folder.write("wide.jpg", Image.new("RGB", (4000, 2)), Score(1.0, np.ones((2, 2), "float32"), np.zeros(3), 4000, 2))
    assert Image.open(tmp_path / "maps" / "wide.jpg.png").size == (1024, 1)


def test_no_overlay_replaces_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ["cat.jpg", "cat.png", "a/cat.jpg", "b/cat.jpg", "../cat.jpg", "../../cat.jpg", "/cat.jpg", "a/../dog.jpg"]
    folder = MapsFolder("maps")
    places = [folder.path_of(file) for file in files]
    assert len(set(places)) == len(files)
    assert all(Path("maps").resolve() in place.resolve().parents for place in places)
    assert places[2] == Path("maps/a/cat.jpg.png")


def test_the_map_of_a_url_that_climbs_lies_below_as_well(tmp_path):
    for name in ("https://h/../..", "https://h/../../../a.png", "https://../a"):
        assert tmp_path in MapsFolder(tmp_path).path_of(name).parents


def test_score_writes_them(photos, monkeypatch):
    monkeypatch.chdir(photos)
    Image.fromarray(procedural_image(7, 60)[0]).save("a.png")
    Path("broken.jpg").touch()
    for _ in range(2):
        # Those of the first time are in the folder that is scored, and are no images to be scored.
        rows = list(clicv2_keras.score(".", maps="maps"))
        assert sum(row.error is None for row in rows) == 6 and len(rows) == 7
    found = sorted(str(path.relative_to("maps")) for path in Path("maps").rglob("*") if path.is_file())
    assert found == sorted(f"{row.file.removeprefix('./')}.png" for row in rows if row.error is None)
    row = next(row for row in rows if row.file == "./a.jpg")
    with Image.open("maps/a.jpg.png") as image:
        assert image.size == (60, 40)
        assert image.info["Description"].startswith(f"complexity {row.score:.6f}; dark blue ")


def test_a_map_that_cannot_be_written_is_an_error_of_its_row(photos, tmp_path):
    (tmp_path / "maps").mkdir()
    target = MapsFolder(tmp_path / "maps").path_of(str(photos / "a.jpg"))
    target.mkdir(parents=True)
    rows = list(clicv2_keras.score(photos, maps=tmp_path / "maps"))
    assert rows[0].score is not None and "its map cannot be written: Is a directory" == rows[0].error
    assert not any(row.error for row in rows[1:])
    assert not list((tmp_path / "maps").glob(".unfinished*"))


def test_resume_of_a_run_that_drew_none_is_told_and_changes_nothing(photos, tmp_path):
    output, maps = tmp_path / "rows.csv", tmp_path / "maps"
    paths = [photos / "a.jpg", tmp_path / "gone.jpg"]
    clicv2_keras.score_to_file(paths, output)
    before = output.read_bytes()
    with pytest.raises(UserError, match=r"--maps .*a.jpg, which is scored already"):
        clicv2_keras.score_to_file([*paths, photos / "b.png"], output, maps=maps, resume=True)
    assert output.read_bytes() == before
    clicv2_keras.score_to_file(paths, output, maps=maps, force=True)
    counts = clicv2_keras.score_to_file([*paths, photos / "b.png"], output, maps=maps, resume=True)
    assert (counts.scored, counts.failed) == (2, 1) and len(list(maps.rglob("*.png"))) == 2


def test_a_folder_that_is_none_is_one_line(photos):
    with pytest.raises(UserError, match="--maps .*a.jpg: cannot be written to"):
        clicv2_keras.score(photos, maps=photos / "a.jpg")
    with pytest.raises(UserError, match="--maps s3://bucket/maps: is a URL"):
        clicv2_keras.score(photos, maps="s3://bucket/maps")


def test_only_a_map_is_replaced(photos, tmp_path):
    (photos / "broken.jpg").write_text("text")
    mine = [MapsFolder(tmp_path / "maps").path_of(str(photos / name)) for name in ("a.jpg", "b.png")]
    mine[0].parent.mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(mine[0])
    mine[1].write_text("text")
    before = [path.read_bytes() for path in mine]
    for _ in range(2):
        rows = list(clicv2_keras.score([photos / "a.jpg", photos / "b.png", photos], maps=tmp_path / "maps"))
        for row, path in zip(rows, mine, strict=False):
            assert row.score is not None
            assert row.error == f"its map cannot be written: {path} is no map of clicv2-keras, and is kept"
    assert [path.read_bytes() for path in mine] == before
    assert sum(row.error is None for row in rows) == 3


def test_nor_does_it_get_them_as_a_part_of_the_folder_that_is_named(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    before = sorted(photos.rglob("*"))
    with pytest.raises(UserError, match=r"--maps \.: its maps would lie among the images of photos"):
        clicv2_keras.score("photos", maps=".")
    assert sorted(photos.rglob("*")) == before


def test_nor_do_they_lie_beside_a_file_that_is_named(photos, monkeypatch):
    monkeypatch.chdir(photos)
    before = sorted(photos.rglob("*"))
    rows = list(clicv2_keras.score(["a.jpg", str(photos / "b.p*")], maps="."))
    assert rows[0].score is not None and rows[0].error.startswith("its map cannot be written: it would lie beside")
    assert rows[1].error is None  # its whole path goes below the folder
    assert [path for path in sorted(photos.rglob("*.png")) if path.parent == photos] == [
        path for path in before if path.suffix == ".png" and path.parent == photos
    ]


def test_a_folder_that_is_scored_gets_no_maps(photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    before = sorted(photos.rglob("*"))
    for paths, maps in ((photos, photos), ([tmp_path / "none", photos], tmp_path / "link")):
        with pytest.raises(UserError, match="--maps .*: its maps would lie among the images of"):
            clicv2_keras.score(paths, maps=maps)
        with pytest.raises(UserError, match="--maps .*: its maps would lie among the images of"):
            clicv2_keras.score_to_file(paths, tmp_path / "rows.csv", maps=maps)
    assert sorted(photos.rglob("*")) == before and not (tmp_path / "rows.csv").exists()
