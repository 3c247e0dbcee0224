import pytest

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.tflite_file import pack, unpack

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


def test_missing_and_no_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        unpack(tmp_path / "nowhere.tflite")
    with pytest.raises(UserError, match="cannot be read"):
        unpack(tmp_path)
