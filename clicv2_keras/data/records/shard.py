"""A shard on its way: images as they are packed, into a tar file that appears when it is whole."""

import contextlib
import io
import json
import os
import re
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from clicv2_keras.data.records.index import ShardLine
from clicv2_keras.utils.atomic_files import naming, sha256, write_text
from clicv2_keras.utils.images import UnreadableImage, decode_image

QUALITY = 90


class EncodedImage(NamedTuple):
    """An image as it is packed: its `data`, and the `ending` of its name; or the `reason` why it cannot be."""

    data: bytes | None = None
    ending: str | None = None
    reason: str | None = None


def encode(path, side=None):
    """An image file as it is packed.

    Args:
        path: the file.
        side: where the image's shorter side is longer, it becomes a JPEG of that shorter side; else the file's own
            bytes are kept.
    """
    try:
        # Without a side the pixels are read only to see that they can be: at the smallest scale.
        decoded = decode_image(path, at_least=2 * side if side else 1)
        if side and min(decoded.width, decoded.height) > side:
            return EncodedImage(_shrunk(decoded, side), "jpg")
        data = Path(path).read_bytes()
    except UnreadableImage as error:
        return EncodedImage(reason=str(error))
    except OSError as error:
        return EncodedImage(reason=error.strerror)
    with Image.open(io.BytesIO(data)) as image:
        ending = image.format.lower()
    return EncodedImage(data, {"jpeg": "jpg", "mpo": "jpg"}.get(ending, ending))


def _shrunk(decoded, side):
    size = decoded.width, decoded.height
    target = [max(side, round(edge * side / min(size))) for edge in size]
    stream = io.BytesIO()
    # Of Pillow's filters the one that keeps most detail: the crops of a run are resized once more.
    decoded.image.resize(target, Image.Resampling.LANCZOS).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


class Shard:
    """A tar file on its way, and the line about it; both appear when it is closed, the line last.

    Args:
        folder: where it will lie.
        number: its number.
        plan: names the work that it is a part of.
    """

    def __init__(self, folder, number, plan):
        self.path = Path(folder, f"{number:05}.tar")
        self.unfinished = self.path.with_name(f"unfinished_{self.path.name}")
        self.plan = plan
        self.images = []
        self.bad = []
        self._tar = tarfile.open(self.unfinished, "w", format=tarfile.USTAR_FORMAT)

    @property
    def size(self):
        """Bytes so far."""
        return self._tar.offset

    def add(self, number, name, image):
        """Add an `EncodedImage`, the one of that number and name among all."""
        # A number for a name: WebDataset takes what comes before the first dot as the sample's key.
        member = tarfile.TarInfo(f"{number:09}.{image.ending}")
        member.size = len(image.data)
        self.images.append([name, self.size + tarfile.BLOCKSIZE, member.size, zlib.crc32(image.data)])
        with naming(self.path):
            self._tar.addfile(member, io.BytesIO(image.data))

    def close(self):
        """Put the shard and its line in place; returns the line."""
        with naming(self.path):
            self._tar.close()
        line = {
            "shard": self.path.name,
            "plan": self.plan,
            "bytes": self.unfinished.stat().st_size,
            "sha256": sha256(self.unfinished),
            "count": len(self.images),
            "images": self.images,
            "bad": self.bad,
        }
        os.replace(self.unfinished, self.path)
        write_text(self.path.with_suffix(".json"), json.dumps(line))
        return line

    def discard(self):
        """Leave nothing."""
        with contextlib.suppress(OSError):  # a full disk takes no end of a file either
            self._tar.close()
        self.unfinished.unlink(missing_ok=True)


def packed_before(folder, plan):
    """The lines of the shards that are there and whole, up to the first that is not."""
    lines = []
    while True:
        path = Path(folder, f"{len(lines):05}.tar")
        try:
            line = ShardLine.parse(path.with_suffix(".json").read_bytes())
            if line.plan != plan or line.shard != path.name or line.sha256 != sha256(path):
                return lines
        except (FileNotFoundError, ValueError):
            return lines
        lines.append(line.model_dump())


def holds_images(folder):
    """Whether a shard of the folder is whole and has an image."""
    for path in Path(folder).glob("[0-9]*.json"):
        try:
            if ShardLine.parse(path.read_bytes()).count:
                return True
        except (FileNotFoundError, ValueError):
            continue
    return False


def remove_from(folder, number):
    """Remove the shards from this number on: what is packed in their place may be fewer."""
    for path in Path(folder).iterdir():
        if re.fullmatch(r"\d{5,}\.(tar|json)", path.name) and int(path.stem) >= number:
            path.unlink()
