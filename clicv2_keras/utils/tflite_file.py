"""A `.tflite` file of this package: a LiteRT model, then a zip that says how to use it. No keras, no TensorFlow.

Appending a zip is how TFLite's own metadata carries its files: interpreters ignore it, every language can read it.
"""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import BYTES, Fingerprints
from clicv2_keras.utils.hub import is_hub_address
from clicv2_keras.utils.paths import user_path

ENTRY = "clicv2_keras.json"
CARD = "MODEL_CARD.md"
# Of each of the two, inflated.
MOST_BYTES = 4 * 2**20
MAGIC = b"TFL3"
# No flatbuffer is larger.
MOST_MODEL = 2 * 2**30
# To the labels of which images the model was fitted, by its part: `Fingerprints`, as an array of NumPy.
FITTED_TO = {"encoder": "fitted_to/encoder.npy", "head": "fitted_to/head.npy"}
# Of each of the two, inflated: 200,000 images.
MOST_FITTED_BYTES = 40 * 2**20


class TFLiteFile(NamedTuple):
    """What is in a file: the model's flatbuffer, and its metadata.

    The metadata is a dict: `name`; `image_size`, the side S of the input in pixels; `resize`, the rule that makes it;
    `score_range` and `label_range`; `quantize`; `version` of the package; `sha256` of the flatbuffer.
    """

    model: bytes
    metadata: dict
    card: str


def is_tflite(model):
    """Whether MODEL names a `.tflite` file, whether it is there or not; the address of a repository never does."""
    return isinstance(model, str | os.PathLike) and user_path(model).suffix == ".tflite" and not is_hub_address(model)


def pack(model, metadata, card="", fitted_to=None):
    """The bytes of a file: the flatbuffer `model`, then its metadata, checksum added, the model's card, and which
    labelled images it was fitted to: `Fingerprints` by `FITTED_TO`, or None where it is not known."""
    entries = {ENTRY: json.dumps({**metadata, "sha256": hashlib.sha256(model).hexdigest()}, indent=1), CARD: card}
    for part, known in (fitted_to or {}).items():
        if known is not None:
            array = io.BytesIO()
            np.save(array, known.codes, allow_pickle=False)
            entries[FITTED_TO[part]] = array.getvalue()
    archive = io.BytesIO()
    archive.write(model)
    with zipfile.ZipFile(archive, "a") as folder:
        for name, content in entries.items():
            # A fixed date: the same model gives the same file. The texts stay as they are: any hex viewer shows them.
            form = zipfile.ZIP_DEFLATED if name in FITTED_TO.values() else zipfile.ZIP_STORED
            folder.writestr(zipfile.ZipInfo(name), content, form)
    return archive.getvalue()


def read_fitted_to(path):
    """To the labels of which images the model of a file was fitted: `Fingerprints` of its `encoder` and its `head`,
    None where the file does not tell, as those of 0.1 do not.

    Raises:
        UserError: where the list is broken.
    """
    found = dict.fromkeys(FITTED_TO)
    try:
        with zipfile.ZipFile(user_path(path)) as folder:
            for part, name in FITTED_TO.items():
                if name not in folder.namelist():
                    continue
                if folder.getinfo(name).file_size > MOST_FITTED_BYTES:
                    raise ValueError("a bomb")
                array = np.load(io.BytesIO(folder.read(name)), allow_pickle=False)
                if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != BYTES:
                    raise ValueError("no fingerprints")
                found[part] = Fingerprints(array)
    except Exception:  # as above
        raise UserError(f"MODEL {path}: its list of labelled images is broken; export it again") from None
    return found


def unpack(path):
    """Read a file and check it.

    Returns:
        `TFLiteFile`.

    Raises:
        UserError: where it is missing, cut off, changed, or no model of this package.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"MODEL {path}: cannot be read: it is no regular file")
        with open(path, "rb") as file:
            whole = file.read(8)
            # A file that is none may be larger than the memory.
            whole += file.read(MOST_MODEL) if whole[4:] == MAGIC else b""
    except FileNotFoundError:
        raise UserError(f"MODEL {path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"MODEL {path}: cannot be read: {error.strerror}") from None
    if whole[4:8] != MAGIC:
        raise UserError(f"MODEL {path}: is no TFLite model; make one with clicv2-keras export")
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as folder:
            start = min(entry.header_offset for entry in folder.infolist())
            if max(folder.getinfo(name).file_size for name in (ENTRY, CARD)) > MOST_BYTES:
                raise ValueError("a bomb")
            metadata, card = json.loads(folder.read(ENTRY)), folder.read(CARD).decode()
        checksum, _ = metadata["sha256"], metadata["name"]
    except Exception:  # zipfile and json raise whatever a broken file leads them to
        raise UserError(
            f"MODEL {path}: is cut off, or was not made by clicv2-keras export: it has no {ENTRY} at its end"
        ) from None
    if hashlib.sha256(whole[:start]).hexdigest() != checksum:
        raise UserError(f"MODEL {path}: does not match its checksum; get the file again")
    return TFLiteFile(whole[:start], metadata, card)
