"""A `.tflite` file of this package: a LiteRT model, then a zip that says how to use it. No keras, no TensorFlow.

Appending a zip is how TFLite's own metadata carries its files: interpreters ignore it, every language can read it.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

from clicv2_keras.utils.errors import UserError

ENTRY = "clicv2_keras.json"
CARD = "MODEL_CARD.md"
# Of each of the two, inflated.
MOST_BYTES = 4 * 2**20


class TFLiteFile(NamedTuple):
    """What is in a file: the model's flatbuffer, and its metadata.

    The metadata is a dict: `name`; `image_size`, the side S of the input in pixels; `resize`, the rule that makes it;
    `score_range` and `label_range`; `quantize`; `version` of the package; `sha256` of the flatbuffer.
    """

    model: bytes
    metadata: dict
    card: str


def pack(model, metadata, card=""):
    """The bytes of a file: the flatbuffer `model`, then its metadata, checksum added, and the model's card."""
    archive = io.BytesIO()
    archive.write(model)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as folder:
        for name, text in (
            (ENTRY, json.dumps({**metadata, "sha256": hashlib.sha256(model).hexdigest()}, indent=1)),
            (CARD, card),
        ):
            # A fixed date: the same model gives the same file.
            folder.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()


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
        whole = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"MODEL {path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"MODEL {path}: cannot be read: {error.strerror}") from None
    if whole[4:8] != b"TFL3":
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
