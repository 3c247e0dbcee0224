import hashlib
import json
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from clicv2_keras.data.records.storage import join, read_bytes
from clicv2_keras.utils.errors import UserError

INDEX = "index.jsonl"
FORMAT = "clicv2-keras records 1"


# As what is read from a file takes them.
Count = Annotated[int, Field(ge=0, lt=2**63)]


class ShardLine(BaseModel):
    """A shard as its line describes it; a name is that of a file in the same folder."""

    shard: str = Field(pattern=r"^[^/\\\x00]+\.tar$")
    plan: str = ""
    bytes: Count
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    count: Count
    images: list[tuple[str, Count, Count, Annotated[int, Field(ge=0, lt=2**32)]]]
    bad: list[tuple[str, str]] = []

    @classmethod
    def parse(cls, line):
        """Read a line of JSON; raises ValueError where it is none."""
        # Not pydantic's own parser, which refuses names that are not Unicode.
        return cls.model_validate(_parse(line))


@dataclass(frozen=True, eq=False)
class RecordIndex:
    """What lies where in a folder of records.

    Such a folder holds tar files, the shards, as WebDataset reads them, and `index.jsonl`: first a line that says what
    was packed, then a line a shard with its `shard` (file name), `bytes`, `sha256`, `images`, each `[name, offset,
    length, crc32]` of the encoded image in the tar, and `bad`, each `[name, reason]`.

    Args:
        shards: dicts with `shard`, `bytes` and `sha256`.
        names: what each image was called.
        shard: int32 (n,), the shard of each image; an image's shard is never before that of the image before it.
        offset: int64 (n,), where it begins in there.
        length: int64 (n,), its bytes.
        crc32: uint32 (n,), their checksum.
    """

    shards: list[dict]
    names: list[str]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    crc32: np.ndarray

    @classmethod
    def read(cls, root):
        """Read the index of the folder `root`, local or remote.

        Raises:
            UserError: where there is none, or it cannot be read.
        """
        try:
            head, *lines = read_bytes(join(root, INDEX)).splitlines() or [b""]
            if TypeAdapter(dict).validate_python(_parse(head)).get("format") != FORMAT:
                raise UserError(f"{root}: its {INDEX} is of another version; pack the images again")
            shards = [ShardLine.parse(line) for line in lines]
            if any(shard.count != len(shard.images) for shard in shards) or not any(shard.images for shard in shards):
                raise ValueError("other counts than images")
            if any(offset + length > shard.bytes for shard in shards for _, offset, length, _ in shard.images):
                raise ValueError("an image beyond the end of its shard")
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{root}: there is no {INDEX}; name a folder that clicv2-keras prepare made, or let it finish"
            ) from None
        except OSError as error:
            raise UserError(f"{root}: its {INDEX} cannot be read: {error.strerror}; name another folder") from None
        except ValueError:
            raise UserError(f"{root}: its {INDEX} is damaged; pack the images again") from None
        names, offset, length, crc32 = zip(*(image for shard in shards for image in shard.images), strict=True)
        counts = [shard.count for shard in shards]
        return cls(
            [shard.model_dump(include={"shard", "bytes", "sha256"}) for shard in shards],
            list(names),
            np.repeat(np.arange(len(shards), dtype="int32"), counts),
            np.array(offset, "int64"),
            np.array(length, "int64"),
            np.array(crc32, "uint32"),
        )

    @property
    def checksum(self):
        """SHA-256 of all shards together, in hexadecimal."""
        return hashlib.sha256("".join(shard["sha256"] for shard in self.shards).encode()).hexdigest()


def _parse(line):
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
