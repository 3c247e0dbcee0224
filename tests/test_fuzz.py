"""Files from outside, spoilt at random: read, or refused in one line; none crashes, hangs or fills the memory."""

import csv
import io
import json
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from PIL import Image

from clicv2_keras.data.labelled.savoias_scores import read_savoias_scores
from clicv2_keras.data.labelled.score_table import read_score_table
from clicv2_keras.data.records.index import FORMAT, RecordIndex
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.checkpoints import Checkpoints
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input, open_rgb
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.tflite_file import pack, unpack

BUDGET = 1.5e9
QUICK, LONG = 250, 3_000


def image(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(procedural_image(3, 48)[0]).save(stream, kind, **options)
    return stream.getvalue()


def pickled_scores():
    stream = io.BytesIO()
    np.save(stream, {i: [f"{i}.png", i / 2] for i in range(5)}, allow_pickle=True)
    return stream.getvalue()


def workbook():
    book, stream = Workbook(), io.BytesIO()
    for cell in ("gt", 1, 2.5, 3):
        book.active.append([cell])
    book.save(stream)
    return stream.getvalue()


def checkpoint():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("00000.dense.kernel.npy", "w") as file:
        np.lib.format.write_array(file, np.ones((3, 4), "float32"), allow_pickle=False)
    return stream.getvalue()


def table():
    text = io.StringIO()
    csv.writer(text).writerows([("file", "score", "category"), ("a.jpg", 0.5, "art"), ("b b.jpg", 0.25, 'say "x"')])
    return text.getvalue().encode()


def index():
    shard = {"shard": "00000.tar", "plan": "", "bytes": 9, "sha256": "0" * 64, "count": 1, "images": [["a", 1, 2, 3]]}
    return "\n".join(json.dumps(line) for line in ({"format": FORMAT}, shard)).encode()


def read_index(path):
    folder = path.parent / "records"
    folder.mkdir(exist_ok=True)
    (folder / "index.jsonl").write_bytes(path.read_bytes())
    RecordIndex.read(folder)


def read_checkpoints(path):
    folder = path.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / "step_00000003.npz").write_bytes(path.read_bytes())
    Checkpoints(folder, 2).set_broken_aside()


def read_image(path):
    network_input(open_rgb(path, at_least=64), 32)


# What is spoilt: a whole file, the ending of its name, and who reads it.
TARGETS = {
    "jpeg": (image("JPEG"), ".jpg", read_image),
    "progressive jpeg with exif": (
        image("JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        ".jpg",
        read_image,
    ),
    "png": (image("PNG"), ".png", read_image),
    "webp": (image("WEBP"), ".webp", read_image),
    "gif": (image("GIF"), ".gif", read_image),
    "tiff": (image("TIFF", compression="tiff_lzw"), ".tif", read_image),
    "bmp": (image("BMP"), ".bmp", read_image),
    "tflite": (pack(b"\x1c\0\0\0TFL3" + bytes(90), {"name": "a", "image_size": 32}, "# card"), ".tflite", unpack),
    "npy": (pickled_scores(), ".npy", read_savoias_scores),
    "xlsx": (workbook(), ".xlsx", read_savoias_scores),
    "csv": (table(), ".csv", read_score_table),
    "recipe": (b"extends: quickstart\ntrain: {steps: 3, batch_size: 8}\nseed: 1\n", ".yaml", load_recipe),
    "checkpoint": (checkpoint(), ".npz", read_checkpoints),
    "shard index": (index(), ".jsonl", read_index),
}


@st.composite
def spoilt(draw, whole):
    """A file after one to four changes: cut, left out, repeated, overwritten or with something put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(1, 40)))
        match draw(st.sampled_from(("cut", "drop", "repeat", "overwrite", "insert"))):
            case "cut":
                del data[start:]
            case "drop":
                del data[start:stop]
            case "repeat":
                data[start:start] = data[start:stop] * draw(st.integers(1, 50))
            case "overwrite":
                data[start:stop] = draw(st.binary(min_size=stop - start, max_size=stop - start))
            case "insert":
                data[start:start] = draw(st.sampled_from((b"\0", b"\xff\xff\xff\xff", b"[" * 999, b'"', b"\n", b"-1")))
    return bytes(data)


def fuzz(name, folder, examples):
    whole, ending, read = TARGETS[name]
    path = Path(folder, f"spoilt{ending}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=examples,
        deadline=10_000,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(spoilt(whole))
    def one(data):
        path.write_bytes(data)
        try:
            read(path)
        except (UserError, UnreadableImage) as error:
            assert "\n" not in str(error)

    path.write_bytes(whole)
    read(path)  # as it is it can be read
    one()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BUDGET


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_a_spoilt_file_is_read_or_refused_in_one_line(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fuzz(name, tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_for_minutes(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fuzz(name, tmp_path, int(os.environ.get("CLICV2_FUZZ", LONG)))
