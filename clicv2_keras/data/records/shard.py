import json
import os
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

from clicv2_keras.utils.atomic_files import sha256, write_text


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
        self._tar.addfile(member, BytesIO(image.data))

    def close(self):
        """Put the shard and its line in place; returns the line."""
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
        self._tar.close()
        self.unfinished.unlink(missing_ok=True)


def packed_before(folder, plan):
    """The lines of the shards that are there and whole, up to the first that is not."""
    lines = []
    while True:
        path = Path(folder, f"{len(lines):05}.tar")
        try:
            line = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if line["plan"] != plan or line["sha256"] != sha256(path):
                return lines
        except (FileNotFoundError, ValueError, KeyError):
            return lines
        lines.append(line)
