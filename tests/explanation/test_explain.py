"""What is written, for which images, and what is wrong in one line."""

import contextlib
import shutil

import numpy as np
import pytest
from PIL import Image

import clicv2_keras
from clicv2_keras.deployment.exporting.parity import BOUNDS
from clicv2_keras.explanation import run
from clicv2_keras.explanation.explanation import Explanation
from clicv2_keras.explanation.figure import draw
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import trained_presets


@pytest.fixture
def scorer(scorers):
    return scorers["diversity"]


def test_a_folder_files_of_one_name_and_a_broken_one(scorer, busy_corner, tmp_path):
    photos = busy_corner("photos/cat.jpg").parent
    busy_corner("photos/below/cat.png", size=(40, 80))
    (photos / "broken.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:700])
    (photos / "notes.txt").write_text("no image, passed over in a folder")
    output, seen = tmp_path / "out", []
    named = [photos, tmp_path / "nowhere.jpg"]
    result = clicv2_keras.explain(named, scorer, output=output, report=seen.append)
    assert result == seen
    assert [explanation.file for explanation in result] == [
        f"{photos}/broken.jpg",
        f"{photos}/cat.jpg",
        f"{photos}/below/cat.png",
        f"{tmp_path}/nowhere.jpg",
    ]
    assert result[0].error and "\n" not in result[0].error and result[3].error == "no such file"
    assert result[1].error is None and result[2].error is None
    files = ["cat-2.npz", "cat-2.png", "cat.npz", "cat.png"]
    assert sorted(path.name for path in output.iterdir()) == files
    for name, explanation in (("cat", result[1]), ("cat-2", result[2])):
        with np.load(output / f"{name}.npz") as arrays:
            assert set(arrays) == {"image_file", "image_path", "score", "size", "map", "map_pixels"}
            assert str(arrays["image_file"]) == explanation.file
            assert arrays["score"] == np.float32(explanation.score)
            assert tuple(arrays["size"]) == explanation.size
            np.testing.assert_array_equal(arrays["map"], explanation.map)
            np.testing.assert_array_equal(arrays["map_pixels"], explanation.at_pixels())
        with Image.open(output / f"{name}.png") as figure:
            assert figure.format == "PNG" and min(figure.size) > 200
            assert len(figure.convert("RGB").getcolors(2**24)) > 100
    # Once more: the same files, not others beside them.
    clicv2_keras.explain(named, scorer, output=output)
    assert sorted(path.name for path in output.iterdir()) == files


def test_a_name_in_another_folder_is_another_images(scorer, busy_corner, tmp_path, monkeypatch):
    output = tmp_path / "out"
    for folder in ("a", "b", "a"):
        monkeypatch.chdir(busy_corner(f"{folder}/cat.jpg").parent)
        clicv2_keras.explain("cat.jpg", scorer, output=output)
    assert sorted(path.name for path in output.glob("*.npz")) == ["cat-2.npz", "cat.npz"]
    # Of 0.1, which told the name alone.
    with np.load(output / "cat.npz") as arrays:
        rest = {name: arrays[name] for name in arrays.files if name != "image_path"}
    np.savez(output / "cat.npz", **rest)
    clicv2_keras.explain("cat.jpg", scorer, output=output)
    assert len(list(output.glob("*.npz"))) == 2


def test_neither_the_photograph_nor_anything_else_is_overwritten(scorer, busy_corner):
    photo = busy_corner("here/photo.png")
    before = photo.read_bytes()
    (photo.parent / "photo-2.npz").write_bytes(b"someone's")
    clicv2_keras.explain(photo, scorer, output=photo.parent)
    assert photo.read_bytes() == before and (photo.parent / "photo-2.npz").read_bytes() == b"someone's"
    assert (photo.parent / "photo-3.png").is_file() and (photo.parent / "photo-3.npz").is_file()


def test_a_long_name_is_cut_and_ends_nothing(scorer, busy_corner, tmp_path):
    names = [f"{stem}{end}.jpg" for stem in ("x" * 246, "ü" * 123) for end in ("", "a", "b")]
    photos = [busy_corner(f"photos/{name}") for name in names]
    for _ in range(2):
        result = clicv2_keras.explain(photos, scorer, output=tmp_path / "out")
        assert [explanation.error for explanation in result] == [None] * 6
        assert len(list((tmp_path / "out").iterdir())) == 12


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text", b"\x93NUMPY"])
def test_a_broken_npz_is_anyones_file_and_kept(scorer, busy_corner, tmp_path, content):
    photo, output = busy_corner("here/photo.png"), tmp_path / "out"
    output.mkdir()
    (output / "photo.npz").write_bytes(content)
    clicv2_keras.explain(photo, scorer, output=output)
    assert (output / "photo.npz").read_bytes() == content and (output / "photo-2.npz").is_file()


def test_earlier_explanations_are_not_explained(scorer, busy_corner, monkeypatch):
    photo = busy_corner("here/photo.jpg")
    monkeypatch.chdir(photo.parent)
    for _ in range(2):
        assert [explanation.file for explanation in clicv2_keras.explain(".", scorer)] == ["./photo.jpg"]
    assert sorted(path.name for path in (photo.parent / "explanations").iterdir()) == ["photo.npz", "photo.png"]
    monkeypatch.setenv("HOME", str(photo.parent))
    assert len(clicv2_keras.explain(".", scorer, output="~/explanations")) == 1
    photo.unlink()
    (nothing,) = clicv2_keras.explain(".", scorer)
    assert nothing.error == "no image in this folder"


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (1000, 100), (30, 900), (5, 4)])
def test_the_figure_keeps_the_images_aspect_and_tells_the_score(tmp_path, size, rng):
    path = tmp_path / "a $1 name.png"
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3)).astype("uint8")).save(path)
    grid = np.linspace(0.2, 0.6, 64, dtype="float32").reshape(8, 8)
    explanation = Explanation(
        "a", path, score=0.4, size=size, map=grid, saliency={"layercam": grid, "smoothgrad": 0 * grid}
    )
    figure = draw(explanation)
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_title() for axes in panels] == ["a $1 name.png", "complexity 0.400", "LayerCAM", "SmoothGrad"]
    for axes in panels:
        box = axes.get_images()[0].get_window_extent()
        assert abs(box.width / box.height / (size[0] / size[1]) - 1) < 0.05
        assert max(box.width, box.height) > 200
    legends = [axes.get_xlim() for axes in figure.axes if axes.collections]
    np.testing.assert_allclose(legends[0], (0.2, 0.6), atol=1e-6)
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label) if text.get_text()]
    assert len(texts) == 4 + 3
    for box in (text.get_window_extent() for text in texts):
        assert 0 <= box.x0 and box.x1 <= figure.bbox.width


def test_the_default_model_explains(busy_corner):
    (explanation,) = clicv2_keras.explain(str(busy_corner()), output=None)
    assert 0 < explanation.score < 1 and explanation.map.ndim == 2


def test_the_scale_of_a_nearly_even_map_is_not_blown_up():
    for value in (0.0, 0.5, 1.0):
        grid = np.full((4, 4), value, "float32")
        low, high = Explanation("a", None, map=grid).limits()
        assert 0 <= low <= value <= high <= 1 and abs(high - low - 0.1) < 1e-6


def test_mistakes_are_one_line(scorer, busy_corner, tmp_path, monkeypatch):
    photo = busy_corner()
    for arguments, says in (
        (([],), "no image is named"),
        ((photo, "defualt"), "did you mean default?"),
        ((photo, scorer, ["gradcam"]), r"gradcam is not one; allowed are smoothgrad, gradcam\+\+, layercam"),
        ((photo, scorer, (), photo), "is a file; name a folder"),
        ((photo, scorer, (), None, None, "gpu:7"), "device: gpu:7 is not here; .* has cpu:0"),
        ((photo.parent, scorer, (), photo.parent), "figures would lie among the images of .*; name another folder"),
        (([photo, photo.parent], scorer, (), photo.parent), "figures would lie among the images"),
    ):
        with pytest.raises(UserError, match=says) as error:
            clicv2_keras.explain(*arguments)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(run, "choose_backend", lambda: "jax")
    with pytest.raises(UserError, match="layercam needs Keras on TensorFlow, not on jax; set KERAS_BACKEND=tensorflow"):
        clicv2_keras.explain(photo, scorer, "layercam")
    assert clicv2_keras.explain(photo, scorer, output=None)[0].score > 0


def test_it_computes_on_the_device_that_is_named(scorer, busy_corner, monkeypatch):
    seen = []

    @contextlib.contextmanager
    def scope(name):
        seen.append(name)
        yield
        seen.append("left")

    monkeypatch.setattr(run, "device_scope", scope)
    clicv2_keras.explain(
        busy_corner(), scorer, output=None, report=lambda each: seen.append(each.error), device="gpu:1"
    )
    assert seen == ["gpu:1", None, "left"]


def test_an_output_folder_that_cannot_be_made_is_one_line(scorer, busy_corner, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written: Not a directory; name another place"):
        clicv2_keras.explain(busy_corner(), scorer, output=tmp_path / "file" / "below")
    shutil.rmtree(tmp_path)


def test_a_photograph_is_as_large_as_score_takes_it(scorer, tmp_path):
    """120 megapixels: too many as they are, and decoded at a reduced scale."""
    Image.new("L", (12_000, 10_000), 90).save(tmp_path / "huge.jpg", quality=30)
    (explanation,) = clicv2_keras.explain(tmp_path / "huge.jpg", scorer, output=None)
    assert explanation.error is None and explanation.size == (12_000, 10_000)


def test_globs_are_what_they_are_to_score(scorer, busy_corner, monkeypatch):
    folder = busy_corner("here/a.jpg").parent
    busy_corner("here/b.png")
    monkeypatch.chdir(folder.parent)
    named = clicv2_keras.explain(["here/*.jpg", "here/*.gif"], scorer, output=None)
    assert [(each.file, each.error) for each in named] == [("here/a.jpg", None), ("here/*.gif", "no image matches")]


def arrays_of(folder):
    """The arrays of each NPZ, by file and name."""
    found = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            found[path.name] = dict(arrays)
    return found


def test_a_url_is_told_to_be_no_file(scorer):
    (told,) = clicv2_keras.explain("http://127.0.0.1/a.jpg", scorer, output=None)
    assert "URLs are read by clicv2-keras score alone" in told.error


def test_a_tflite_file_explains_as_the_keras_model_it_was_made_from(busy_corner, tmp_path, monkeypatch):
    photos = busy_corner("photos/a.jpg", orientation=6).parent
    busy_corner("photos/b.png", size=(200, 300))
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    expected = clicv2_keras.explain(photos, "default", output=tmp_path / "keras")
    monkeypatch.setattr(run, "choose_backend", lambda: pytest.fail("it asks for Keras"))
    file = trained_presets()["default"] / "float16.tflite"
    found = clicv2_keras.explain(photos, str(file), output=tmp_path / "tflite")
    assert [(each.file, each.error) for each in found] == [(each.file, each.error) for each in expected]
    ours, theirs = arrays_of(tmp_path / "tflite"), arrays_of(tmp_path / "keras")
    assert set(ours) == set(theirs) == {"a.npz", "b.npz"}
    for name, arrays in ours.items():
        assert set(arrays) == set(theirs[name])
        assert tuple(arrays["size"]) == tuple(theirs[name]["size"])
        for what, bound in BOUNDS["float16"].items():
            np.testing.assert_allclose(arrays[what], theirs[name][what], rtol=0, atol=bound)
        assert abs(arrays["map"].mean() - arrays["score"]) < 1e-5
        figures = [Image.open(tmp_path / way / f"{name[0]}.png") for way in ("tflite", "keras")]
        assert figures[0].size == figures[1].size
        pixels = [np.asarray(figure.convert("RGB"), "float32") for figure in figures]
        assert np.abs(pixels[0] - pixels[1]).mean() < 3


def test_a_tflite_file_has_no_saliency_and_no_device(busy_corner):
    file = trained_presets()["default"] / "dynamic.tflite"
    with pytest.raises(UserError, match="smoothgrad needs gradients, .*dynamic.tflite has none; give the .keras file"):
        clicv2_keras.explain(busy_corner(), file, "smoothgrad", output=None)
    with pytest.raises(UserError, match="dynamic.tflite is computed by LiteRT, on the CPU; leave gpu:0 out"):
        clicv2_keras.explain(busy_corner(), file, output=None, device="gpu:0")
    with pytest.raises(UserError, match="nowhere.tflite: there is no such file"):
        clicv2_keras.explain(busy_corner(), "nowhere.tflite", output=None)
