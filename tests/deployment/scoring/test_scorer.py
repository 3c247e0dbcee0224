import io
import threading

import numpy as np
import pytest
from PIL import Image

from clicv2_keras.deployment.scoring.scorer import Score, Scorer
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture(scope="module")
def pixels():
    return procedural_image(5, 90)[0][:70]


@pytest.fixture(scope="module")
def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_the_same_pixels_give_the_same_score_however_they_come(scorer, pixels, png, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png)
    expected = scorer.score(pixels)
    assert isinstance(expected, Score)
    with open(path, "rb") as file:
        for image in (str(path), path, png, bytearray(png), file, Image.open(path), Image.fromarray(pixels)):
            found = scorer.score(image)
            assert found.score == expected.score
            np.testing.assert_array_equal(found.map, expected.map)
            np.testing.assert_array_equal(found.embedding, expected.embedding)
            assert (found.width, found.height) == (90, 70)


def test_what_a_score_is(scorer, pixels):
    found = scorer.score(pixels)
    assert type(found.score) is float and 0 < found.score < 1
    assert found.map.dtype == np.float32 and found.map.ndim == 2
    assert found.score == pytest.approx(found.map.mean(), abs=1e-5)
    assert found.embedding.ndim == 1 and found.embedding.dtype == np.float32


def test_it_tells_plain_from_complex(scorer):
    rng = np.random.default_rng(0)
    plain = np.full((90, 90, 3), 128, "uint8")
    scene = np.asarray(Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype("uint8")).resize((90, 90)))
    assert scorer.score(plain).score < scorer.score(scene).score - 0.05


def test_several_give_a_list_in_order(scorer, pixels, png):
    flipped = pixels[:, ::-1]
    one, other = scorer.score(pixels).score, scorer.score(flipped).score
    assert one != other
    for several in (np.stack([pixels, flipped]), [pixels, flipped], (png, flipped), iter([png, flipped])):
        assert [found.score for found in scorer.score(several)] == [one, other]
    assert scorer.score([]) == []


def test_grey_is_its_three_equal_channels(scorer, pixels):
    grey = pixels[..., 0]
    assert scorer.score(grey).score == scorer.score(np.stack([grey] * 3, axis=-1)).score


def test_an_image_at_hand_is_turned_upright_too(scorer, pixels):
    turned = Image.fromarray(np.rot90(pixels))
    turned.getexif()[0x0112] = 6
    assert scorer.score(turned).score == scorer.score(pixels).score


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8, 3)), "uint8 .* not float64"),
        (np.zeros((8, 8, 3), "int32"), "uint8 .* not int32"),
        (np.zeros((8, 8, 4), "uint8"), r"\(H, W, 3\)"),
        (np.zeros((3, 8, 8), "uint8"), r"\(3, 8, 8\)"),
        (np.zeros((2, 8, 8, 1), "uint8"), r"\(H, W, 3\)"),
        (np.zeros((0, 8, 3), "uint8"), r"\(0, 8, 3\)"),
        (np.zeros(8, "uint8"), r"\(8,\)"),
    ],
)
def test_other_arrays_are_refused(scorer, array, message):
    with pytest.raises(ValueError, match=message):
        scorer.score(array)


def test_what_is_no_image_is_refused(scorer):
    for nothing in (None, 3, [3]):
        with pytest.raises(TypeError, match="an image is a path, bytes"):
            scorer.score(nothing)
    with pytest.raises(UnreadableImage, match="no such file"):
        scorer.score("nowhere.jpg")
    with pytest.raises(UnreadableImage):
        scorer.score(b"")


def test_a_large_photograph_is_decoded_reduced_but_named_whole(scorer, pixels):
    large = Image.fromarray(pixels).resize((3600, 2800))
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    large.save(stream, "JPEG", quality=95, exif=exif)
    picture = scorer.read(stream.getvalue())
    assert min(picture.image.size) >= 2 * scorer.image_size
    assert max(picture.image.size) <= 3600 / 8 * 2
    found = scorer.run(picture)
    assert (found.width, found.height) == (2800, 3600)
    assert found.score == pytest.approx(scorer.score(Image.open(stream)).score, abs=0.005)


def test_threads_may_share_one(scorer, pixels):
    images = [pixels, pixels[:, ::-1], pixels[::-1]]
    expected = [scorer.score(image).score for image in images]
    found = {}

    def work(index):
        found[index] = [scorer.score(images[index]).score for _ in range(10)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {index: [score] * 10 for index, score in enumerate(expected)}


def test_a_file_and_its_preset_are_one(scorer, pixels):
    path = trained_presets()["default"] / "dynamic.tflite"
    assert Scorer(path, threads=2).score(pixels).score == pytest.approx(scorer.score(pixels).score, abs=1e-6)
    assert scorer.metadata["image_size"] == scorer.image_size


def test_what_is_wrong_with_a_model_is_one_line(tmp_path):
    whole = (trained_presets()["default"] / "dynamic.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "changed.tflite").write_bytes(whole[:5000] + b"\1\2\3" + whole[5003:])
    (tmp_path / "foreign.tflite").write_bytes(whole[: whole.index(b"PK\3\4")])
    (tmp_path / "text.tflite").write_text("I am no model")
    (tmp_path / "model.keras").touch()
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    for name, message in {
        "cut.tflite": "cut off",
        "changed.tflite": "checksum",
        "foreign.tflite": "not made by clicv2-keras export",
        "text.tflite": "no TFLite model",
        "none.tflite": "no such file",
        "model.keras": "clicv2-keras export",
        "saved": "SavedModel .* clicv2-keras export",
        "": "clicv2-keras export",
    }.items():
        with pytest.raises(UserError, match=message) as error:
            Scorer(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no trained preset: those are .*default"):
        Scorer("defualt")


def test_a_model_of_ours_that_is_no_network_is_refused(tmp_path):
    from clicv2_keras.utils.tflite_file import pack

    path = tmp_path / "broken.tflite"
    path.write_bytes(pack(b"\x18\0\0\0TFL3" + bytes(200), {"name": "broken", "image_size": 128}))
    with pytest.raises(UserError, match="LiteRT refuses it") as error:
        Scorer(path)
    assert "\n" not in str(error.value)
