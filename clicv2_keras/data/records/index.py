import json
from dataclasses import dataclass

import numpy as np

from clicv2_keras.data.records.storage import join, read_bytes
from clicv2_keras.utils.errors import UserError

INDEX = "index.jsonl"
FORMAT = "clicv2-keras records 1"


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
            UserError: where there is none.
        """
        try:
            head, *shards = map(json.loads, read_bytes(join(root, INDEX)).splitlines())
            if head["format"] != FORMAT:
                raise UserError(f"{root}: its {INDEX} is of another version; pack the images again")
            images = [image for shard in shards for image in shard.pop("images")]
            names, offset, length, crc32 = map(list, zip(*images, strict=True))
        except FileNotFoundError:
            raise UserError(
                f"{root}: there is no {INDEX}; name a folder that clicv2-keras prepare made, or let it finish"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{root}: its {INDEX} is damaged; pack the images again") from None
        counts = [shard["count"] for shard in shards]
        return cls(
            shards,
            names,
            np.repeat(np.arange(len(shards), dtype="int32"), counts),
            np.array(offset, "int64"),
            np.array(length, "int64"),
            np.array(crc32, "uint32"),
        )
