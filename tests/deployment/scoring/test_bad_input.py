"""Whatever a file is, it ends as a row: with a score, or with one line on what is wrong with it."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import clicv2_keras
from clicv2_keras.deployment.scoring.rows import Row
from clicv2_keras.utils.procedural import procedural_image


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(width, height):
    """A PNG of black pixels, one bit each, made a row at a time."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    line = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(procedural_image(5, 80)[0][:60])


def row_of(path, content):
    path.write_bytes(content)
    (row,) = clicv2_keras.score(path)
    assert row.file == str(path)
    return row


def test_unusual_images_are_scored(picture, tmp_path):
    y, x = np.mgrid[:60, :80]
    palette = picture.convert("P")
    frames = [picture, Image.new("RGB", picture.size, "red")]
    cases = {
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG"),
        "sixteen.png": encode(Image.fromarray((x * y * 13 % 65536).astype("uint16")), "PNG"),
        "palette.png": encode(palette, "PNG", transparency=bytes(range(256))),
        "animated.gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "tiff.tif": encode(picture, "TIFF"),
        "named_wrongly.jpg": encode(picture, "PNG"),
        "bits.png": encode(picture.convert("1"), "PNG"),
    }
    for name, content in cases.items():
        row = row_of(tmp_path / name, content)
        assert row.error is None and 0 <= row.score <= 1, row
        assert (row.width, row.height) == (80, 60)


@pytest.mark.parametrize("size", [(1, 1), (1, 30000), (30000, 1), (2, 65000)])
def test_extreme_sides_are_scored(tmp_path, size):
    for kind in ("PNG", "JPEG"):
        row = row_of(tmp_path / "thin", encode(Image.new("RGB", size, "teal"), kind))
        assert row.error is None and 0 <= row.score <= 1
        assert (row.width, row.height) == size


def test_broken_files_have_an_error(picture, tmp_path):
    jpeg = encode(picture, "JPEG")
    cases = {
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "empty.jpg": (b"", "not an image"),
        "text.jpg": (b"I am no image", "not an image"),
        "thin.png": (png_header(1, 70_000), "1 x 70000 pixels are too many"),
        "large.png": (png_header(11_000, 10_000), "at most 100 megapixels"),
        "program.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n", "EPS files are not read"),
    }
    for name, (content, reason) in cases.items():
        row = row_of(tmp_path / name, content)
        assert row == Row(str(tmp_path / name), error=row.error)
        assert reason in row.error and "\n" not in row.error


def test_a_file_that_may_not_be_read_has_an_error(picture, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", "some path")

    monkeypatch.setattr("clicv2_keras.utils.images.Image.open", refuse)
    assert row_of(tmp_path / "a.jpg", encode(picture, "JPEG")).error == "Permission denied"


def test_a_file_that_vanishes_has_an_error(picture, tmp_path):
    for number in range(100):
        (tmp_path / f"{number:03}.jpg").write_bytes(encode(picture, "JPEG"))
    rows = clicv2_keras.score(tmp_path, workers=1)
    assert next(rows).error is None
    (tmp_path / "099.jpg").unlink()
    *others, last = rows
    assert last.error == "no such file"
    assert len(others) == 98 and not any(row.error for row in others)


def test_pipes_devices_and_a_bomb_neither_hang_nor_take_memory(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "bomb.png").write_bytes(png_header(20_000, 20_000))
    code = (
        "import json, sys, clicv2_keras; from clicv2_keras.deployment.scoring.measurement import peak_memory; "
        "print(json.dumps([[row.error for row in clicv2_keras.score(sys.argv[1])], peak_memory()]))"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    (bomb, pipe, zero), memory = json.loads(result.stdout)
    assert "bomb" in bomb
    assert pipe == zero == "not a regular file"
    assert memory < 200e6


@pytest.mark.slow
def test_workers_share_a_budget_of_memory(tmp_path):
    Image.new("P", (10_000, 8_000)).save(tmp_path / "0.png", transparency=0)
    for number in range(1, 4):
        (tmp_path / f"{number}.png").write_bytes((tmp_path / "0.png").read_bytes())
    code = (
        "import json, sys, clicv2_keras; from clicv2_keras.deployment.scoring.measurement import peak_memory; "
        "rows = list(clicv2_keras.score(sys.argv[1], workers=int(sys.argv[2]), threads=1)); "
        "print(json.dumps([[row.error for row in rows], peak_memory()]))"
    )
    peaks = []
    for workers in "1", "4":
        result = subprocess.run([sys.executable, "-c", code, tmp_path, workers], capture_output=True, text=True)
        errors, peak = json.loads(result.stdout)
        assert errors == [None] * 4
        peaks.append(peak)
    # Each takes 1.3 GB while it is laid over white.
    assert peaks[1] < 1.6 * peaks[0]


def mutations(rng, data):
    """The bytes of a file, spoilt in one of the ways in which files get spoilt."""
    data = bytearray(data)
    place = int(rng.integers(len(data)))
    length = int(rng.integers(1, 64))
    match rng.integers(6):
        case 0:
            del data[place:]
        case 1:
            for index in rng.integers(len(data), size=rng.integers(1, 20)):
                data[index] = rng.integers(256)
        case 2:  # where formats keep sizes
            data[int(rng.integers(min(64, len(data))))] = rng.choice([0, 1, 127, 128, 255])
        case 3:
            del data[place : place + length]
        case 4:
            data[place:place] = rng.bytes(length)
        case 5:
            data[place : place + length] = bytes(length)
    return bytes(data)


@pytest.mark.slow
def test_thousands_of_spoilt_files_all_end_as_rows(tmp_path):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(procedural_image(seed, 24)[0]) for seed in (0, 5)]
    kinds = {"JPEG": {}, "PNG": {}, "WEBP": {}, "GIF": {}, "BMP": {}}
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [encode(image, kind, **options) for image in images for kind, options in kinds.items()]
    whole += [encode(images[1], "JPEG", progressive=True, exif=exif), encode(images[1].convert("P"), "PNG", exif=exif)]
    for number in range(2000):
        (tmp_path / f"{number:04}.jpg").write_bytes(mutations(rng, whole[number % len(whole)]))
    rows = list(clicv2_keras.score(tmp_path))
    assert [row.file for row in rows] == [f"{tmp_path}/{number:04}.jpg" for number in range(2000)]
    scored = [row for row in rows if row.error is None]
    assert all(0 <= row.score <= 1 and row.width > 0 and row.height > 0 for row in scored)
    failed = [row for row in rows if row.error is not None]
    assert all(row.error and row.error.isprintable() and row.score is row.width is None for row in failed)
    # Else the mutations would say little.
    assert min(len(scored), len(failed)) > 300
