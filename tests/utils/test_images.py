import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from clicv2_keras.utils import images
from clicv2_keras.utils.images import UnreadableImage, is_image, open_rgb, upright_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


@pytest.fixture
def pixels():
    """40 x 60 (height x width), no symmetry, smooth enough to survive JPEG to a level or two."""
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 120 + 0 * x], axis=-1).astype("uint8")


def encode(image, file_format, **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def largest_error(image, expected):
    assert image.mode == "RGB"
    return np.abs(np.asarray(image).astype(int) - expected).max()


@pytest.mark.parametrize(("file_format", "tolerance"), list(zip(FORMATS, (8, 0, 0, 0, 26), strict=True)))
def test_every_format_gives_its_pixels(pixels, file_format, tolerance):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    data = encode(Image.fromarray(pixels), file_format, **options)
    assert is_image(data[:16])
    assert largest_error(open_rgb(data), pixels) <= tolerance


def test_paths_bytes_and_files_are_alike(pixels, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    with open(path, "rb") as file:
        read = [open_rgb(path), open_rgb(str(path)), open_rgb(path.read_bytes()), open_rgb(file)]
    assert all(largest_error(image, pixels) == 0 for image in read)


@pytest.mark.parametrize(
    "head", [b"", b"hello world, I am", b"RIFF\0\0\0\0WAVEfmt ", b"%PDF-1.7\n", b"\x89PNX\r\n\x1a\n"]
)
def test_other_bytes_are_no_image(head):
    assert not is_image(head)


def test_grey_has_three_equal_channels(pixels):
    grey = pixels[..., 0]
    assert largest_error(open_rgb(encode(Image.fromarray(grey), "PNG")), grey[..., None]) == 0


def test_black_and_white(pixels):
    bits = pixels[..., 0] > 100
    assert largest_error(open_rgb(encode(Image.fromarray(bits), "PNG")), 255 * bits[..., None]) == 0


def test_sixteen_bits_keep_the_upper_eight():
    levels = (np.arange(40 * 60, dtype="uint16") * 27).reshape(40, 60)
    assert largest_error(open_rgb(encode(Image.fromarray(levels), "PNG")), (levels >> 8)[..., None]) == 0


def test_a_transparent_level_of_sixteen_bits_lies_over_white():
    levels = np.array([[0, 0x1234], [0x1235, 0xFFFF]], "uint16")
    data = encode(Image.fromarray(levels), "PNG", transparency=0x1234)
    assert largest_error(open_rgb(data), np.array([[0, 255], [0x12, 255]])[..., None]) == 0


def with_tag(tiff, tag, old, new):
    """The bytes of a TIFF by Pillow with another number in a tag."""
    old, new = (struct.pack("<HHIHH", tag, 3, 1, value, 0) for value in (old, new))
    assert tiff.count(old) == 1
    return tiff.replace(old, new)


@pytest.mark.parametrize("orientation", [1, 3])
def test_a_tiff_of_sixteen_bits_may_have_white_at_0(orientation):
    levels = np.array([[0, 0x1234, 0xFFFF]], "uint16")
    data = encode(Image.fromarray(levels), "TIFF", tiffinfo={0x0112: orientation})
    expected = TURNS[orientation](np.array([[255, 255 - 0x12, 0]]))[..., None]
    assert largest_error(open_rgb(with_tag(data, 262, 1, 0)), expected) == 0


def test_a_tiff_of_twelve_bits_keeps_the_upper_eight():
    # Two pixels in three bytes.
    packed = np.frombuffer(bytes.fromhex("123fff00"), "<u2")[None]
    data = with_tag(encode(Image.fromarray(packed), "TIFF"), 258, 16, 12)
    assert largest_error(open_rgb(data), np.array([[0x12, 0xFF]])[..., None]) == 0


def test_a_tiff_whose_white_is_not_known_is_refused():
    half = Image.fromarray(np.full((8, 8), 2**31 - 1, "int32"))
    for data in (
        encode(half, "TIFF"),
        with_tag(encode(half, "TIFF"), 339, 2, 1),
        encode(half.convert("I;16"), "TIFF", tiffinfo={339: 2}),
    ):
        with pytest.raises(UnreadableImage, match="signed or of 32 bits.* convert it to 8 bits"):
            open_rgb(data)


def test_signed_pixels_at_hand_are_refused(pixels):
    grey = Image.fromarray(pixels[..., 0])
    tiff = Image.open(io.BytesIO(encode(Image.fromarray(np.full((8, 8), 2**31 - 1, "int32")), "TIFF")))
    for image in (grey.convert("I"), Image.fromarray(pixels[..., 0].astype("int32")), tiff.crop((0, 0, 4, 4))):
        with pytest.raises(UnreadableImage, match="signed or of 32 bits.* convert it to 8 bits"):
            upright_rgb(image)


def test_a_portable_greymap_of_sixteen_bits_keeps_the_upper_eight():
    data = b"P5 2 1 65535\n" + np.array([0x1234, 0xFFFF], ">u2").tobytes()
    assert largest_error(open_rgb(data), np.array([[0x12, 0xFF]])[..., None]) == 0


def test_alpha_lies_over_white(pixels):
    alpha = np.where(np.arange(60) < 20, 0, np.where(np.arange(60) < 40, 128, 255))
    rgba = np.dstack([pixels, np.broadcast_to(alpha, (40, 60))]).astype("uint8")
    expected = pixels * (alpha[:, None] / 255) + 255 * (1 - alpha[:, None] / 255)
    assert largest_error(open_rgb(encode(Image.fromarray(rgba), "PNG")), expected) <= 1
    grey = np.dstack([pixels[..., 0], rgba[..., 3]])
    assert largest_error(open_rgb(encode(Image.fromarray(grey, "LA"), "PNG")), expected[..., :1]) <= 1


def test_palette_and_its_transparent_colour():
    image = Image.new("P", (4, 2))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((3, 1), 1)
    solid = np.full((2, 4, 3), (10, 20, 30))
    solid[1, 3] = (200, 100, 0)
    assert largest_error(open_rgb(encode(image, "PNG")), solid) == 0
    clear = solid.copy()
    clear[1, 3] = 255
    for file_format in ("PNG", "GIF"):
        assert largest_error(open_rgb(encode(image, file_format, transparency=1)), clear) == 0


def test_cmyk(pixels):
    data = encode(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=98)
    assert largest_error(open_rgb(data), pixels) <= 12


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for file_format in ("GIF", "WEBP"):
        data = encode(frames[0], file_format, save_all=True, append_images=frames[1:])
        assert largest_error(open_rgb(data), np.array([255, 0, 0])) <= 3


# What EXIF's number asks for, of an array; 5 to 8 turn the image's sides.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation(pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for file_format, tolerance in (("PNG", 0), ("JPEG", 8)):
        options = {"quality": 98, "subsampling": 0} if file_format == "JPEG" else {}
        image = open_rgb(encode(Image.fromarray(pixels), file_format, exif=exif, **options))
        assert largest_error(image, TURNS[orientation](pixels)) <= tolerance


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
def test_tags_that_cannot_be_read_turn_nothing(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(Image.new("RGB", (40, 30), "teal"), file_format, exif=b"Exif\0\0garbage that is no TIFF", **options)
    assert open_rgb(data).size == (40, 30)


def test_an_odd_tag_beside_the_orientation_turns_as_well():
    def entry(tag, kind, count, value):
        return struct.pack("<HHI4s", tag, kind, count, value)

    # The resolution as text, of which Pillow cannot write the tags anew.
    entries = entry(0x0112, 3, 1, struct.pack("<HH", 6, 0)) + entry(0x011A, 2, 3, b"72\0\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    data = encode(Image.new("RGB", (40, 30), "teal"), "JPEG", exif=exif)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert open_rgb(data).size == (30, 40)


def test_reduced_decoding_keeps_at_least_what_is_asked():
    data = encode(Image.new("RGB", (800, 640), "teal"), "JPEG")
    assert open_rgb(data).size == (800, 640)
    assert open_rgb(data, at_least=160).size == (200, 160)
    assert open_rgb(data, at_least=161).size == (400, 320)
    assert open_rgb(data, at_least=5000).size == (800, 640)


@pytest.mark.parametrize("file_format", FORMATS)
def test_truncated_files_raise_one_line(file_format):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype("uint8")
    data = encode(Image.fromarray(noise), file_format)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(UnreadableImage) as error:
            open_rgb(data[: int(len(data) * share)])
        assert str(error.value) and "\n" not in str(error.value)


def test_what_is_no_image_raises_one_line(tmp_path):
    (tmp_path / "text.jpg").write_text("I am no image.")
    (tmp_path / "empty.jpg").touch()
    for name, reason in (("text.jpg", "not an image"), ("empty.jpg", "not an image"), ("none.jpg", "no such file")):
        with pytest.raises(UnreadableImage, match=reason):
            open_rgb(tmp_path / name)
    with pytest.raises(UnreadableImage):
        open_rgb(tmp_path)


def test_a_decompression_bomb_raises_one_line(pixels, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImage, match="bomb"):
        open_rgb(encode(Image.fromarray(pixels), "PNG"))


@pytest.mark.parametrize("side", [64, 12_288])
def test_a_tile_that_is_larger_than_its_image_counts_as_large(side, monkeypatch):
    """Pillow decodes it whole."""
    body = zlib.compress(bytes(64 * 64))
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    place = 8 + len(body)
    data = struct.pack("<2sHI", b"II", 42, place) + body + struct.pack("<H", len(tags)) + entries + bytes(4)
    taken = []
    memory = images._memory.taken
    monkeypatch.setattr(images._memory, "taken", lambda count: taken.append(count) or memory(count))
    if side == 64:
        assert open_rgb(data).size == (16, 16) and taken == [16 * 64 * 64]
    else:
        with pytest.raises(UnreadableImage, match="12288 x 12288 pixels are too many"):
            open_rgb(data)


def test_a_jpeg_of_more_scans_than_any_encoder_makes_is_refused(monkeypatch):
    data = encode(Image.new("RGB", (64, 64), "teal"), "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")
    assert 5 < scans < 20 and open_rgb(data).size == (64, 64)
    monkeypatch.setattr("clicv2_keras.utils.images.MAX_SCANS", scans - 1)
    with pytest.raises(UnreadableImage, match=f"it has more than {scans - 1} scans"):
        open_rgb(data)


def test_images_that_somebody_keeps_stop_nobody(monkeypatch):
    monkeypatch.setattr("clicv2_keras.utils.images.BUDGET", 1)
    data = encode(Image.new("RGB", (40, 30), "red"), "PNG")
    kept, barrier = [], threading.Barrier(4)

    def keep():
        barrier.wait()
        for _ in range(20):
            kept.append(open_rgb(data))

    threads = [threading.Thread(target=keep, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(kept) == 80


def test_floats_whose_white_is_not_known_are_refused():
    """Pillow would clip them to 0 … 255, so that 1.0 were nearly black."""
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8), 0.9, "float32")).save(stream, "TIFF")
    with pytest.raises(UnreadableImage, match="its pixels are floats.* convert it to 8 bits"):
        open_rgb(stream.getvalue())
