import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints
from clicv2_keras.utils.tflite_file import is_tflite, pack, read_fitted_to, unpack

MODEL = b"\x1c\x00\x00\x00TFL3" + bytes(range(200))


def test_what_is_packed_is_unpacked(tmp_path):
    packed = pack(MODEL, {"name": "a", "image_size": 32}, "# A card of ü")
    (tmp_path / "a.tflite").write_bytes(packed)
    model, metadata, card = unpack(tmp_path / "a.tflite")
    assert model == MODEL and metadata["name"] == "a" and card == "# A card of ü"
    assert packed.startswith(MODEL) and packed == pack(MODEL, {"name": "a", "image_size": 32}, "# A card of ü")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b[:-20], "cut off"),
        (lambda b: b[:100], "cut off"),
        (lambda b: MODEL, "not made by clicv2-keras export"),
        (lambda b: b[:50] + b"?" + b[51:], "checksum"),
        (lambda b: b"a text file", "no TFLite model"),
        (lambda b: b"", "no TFLite model"),
    ],
)
def test_what_was_changed_is_refused(tmp_path, change, says):
    (tmp_path / "a.tflite").write_bytes(change(pack(MODEL, {"name": "a"})))
    with pytest.raises(UserError, match=says):
        unpack(tmp_path / "a.tflite")


def packed_with(**entries):
    """A file whose metadata or card is another, as text."""
    archive = io.BytesIO(MODEL)
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as folder:
        for name, text in ({"clicv2_keras.json": "{}", "MODEL_CARD.md": ""} | entries).items():
            folder.writestr(name, text)
    return archive.getvalue()


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"sha256": 3}', "[" * 3000, "{"])
def test_metadata_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "a.tflite").write_bytes(packed_with(**{"clicv2_keras.json": text}))
    with pytest.raises(UserError, match="made by clicv2-keras export"):
        unpack(tmp_path / "a.tflite")


def test_a_bomb_is_not_inflated(tmp_path):
    (tmp_path / "a.tflite").write_bytes(packed_with(**{"MODEL_CARD.md": "0" * (5 * 2**20)}))
    with pytest.raises(UserError, match="made by clicv2-keras export"):
        unpack(tmp_path / "a.tflite")


def test_a_file_carries_the_labelled_images_that_it_was_fitted_to(tmp_path, rng):
    codes = rng.integers(0, 256, (5, 194), "uint8")
    known = {"encoder": Fingerprints(), "head": Fingerprints(codes)}
    (tmp_path / "a.tflite").write_bytes(pack(MODEL, {"name": "a"}, "", known))
    found = read_fitted_to(tmp_path / "a.tflite")
    assert len(found["encoder"]) == 0 and found["head"].known(codes).all() and unpack(tmp_path / "a.tflite")
    (tmp_path / "a.tflite").write_bytes(pack(MODEL, {"name": "a"}, "", known | {"head": None}))
    assert read_fitted_to(tmp_path / "a.tflite")["head"] is None  # not known, which is not the same as none
    (tmp_path / "a.tflite").write_bytes(pack(MODEL, {"name": "a"}))
    assert read_fitted_to(tmp_path / "a.tflite") == {"encoder": None, "head": None}


@pytest.mark.parametrize("array", [np.zeros((2, 3), "uint8"), np.zeros((2, 194)), np.array([{}], object), "text"])
def test_a_list_of_images_that_is_none_is_refused(tmp_path, array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    content = array if isinstance(array, str) else stream.getvalue()
    (tmp_path / "a.tflite").write_bytes(packed_with(**{"fitted_to/head.npy": content}))
    with pytest.raises(UserError, match="its list of labelled images is broken"):
        read_fitted_to(tmp_path / "a.tflite")


def test_missing_and_no_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        unpack(tmp_path / "nowhere.tflite")
    with open(tmp_path / "film.mkv", "wb") as film:
        film.truncate(2**42)  # a hole: read whole it would not fit
    with pytest.raises(UserError, match="is no TFLite model"):
        unpack(tmp_path / "film.mkv")
    os.mkfifo(tmp_path / "pipe.tflite")
    for path in (tmp_path, tmp_path / "pipe.tflite"):
        with pytest.raises(UserError, match="cannot be read: it is no regular file"):
            unpack(path)


def test_a_name_says_whether_it_is_such_a_file():
    assert is_tflite("a.tflite") and is_tflite(Path("~/nowhere/b.tflite"))
    others = ("default", "run.keras", Path("a.tflite") / "folder", "hf://owner/name.tflite", None, object())
    assert not any(map(is_tflite, others))
