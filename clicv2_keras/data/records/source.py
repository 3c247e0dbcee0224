import os
import zlib

import numpy as np

from clicv2_keras.data.records.index import RecordIndex
from clicv2_keras.data.records.storage import RemoteShards, is_remote, join
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, open_rgb

# Shards whose images are shuffled together: a quarter of a GB at the usual size of a shard.
GROUP = 4


class RecordSource:
    """Images by number from the shards that `clicv2-keras prepare` packs.

    Local shards are read at an image's offset, each image with its checksum. From object storage, where each read costs
    a round trip, shards come whole, the next ones while these are used.

    Args:
        root: the folder of records, local or as `gs://bucket/folder`.

    Raises:
        UserError: where it holds no records, or a shard is missing or of another size.
    """

    def __init__(self, root):
        self.root = root
        self.index = RecordIndex.read(root)
        shards = self.index.shards
        self._remote = RemoteShards(root, shards, 3 * GROUP) if is_remote(root) else None
        self._paths = [join(root, shard["shard"]) for shard in shards]
        if not self._remote:
            for path, shard in zip(self._paths, shards, strict=True):
                size = os.path.getsize(path) if os.path.exists(path) else None
                if size != shard["bytes"]:
                    found = "is missing" if size is None else f"has {size} bytes and not {shard['bytes']}"
                    raise UserError(f"{path}: {found}; run the same clicv2-keras prepare again, which mends it")

    def __len__(self):
        return len(self.index.names)

    def name(self, index):
        return self.index.names[index]

    def load(self, index, at_least=None):
        """The image, a `PIL.Image` of mode RGB; see `clicv2_keras.utils.images.open_rgb`."""
        shard, offset = int(self.index.shard[index]), int(self.index.offset[index])
        data = self._read(shard, offset, int(self.index.length[index]))
        if zlib.crc32(data) != self.index.crc32[index]:
            raise UnreadableImage(f"differs from its checksum in {self.index.shards[shard]['shard']}")
        return open_rgb(data, at_least)

    def order(self, rng):
        """The images of an epoch in a shuffled order, drawn from `rng`: int (n,).

        The shards are shuffled, and then the images of each four shards together, so that the order is the same
        wherever they lie and object storage is read shard by shard. `prepare` has shuffled all images before it cut
        them into shards: any four are a sample of the whole.
        """
        first = np.searchsorted(self.index.shard, np.arange(len(self._paths) + 1))
        shuffled = rng.permutation(len(self._paths)).tolist()
        groups = [shuffled[i : i + GROUP] for i in range(0, len(shuffled), GROUP)]
        if self._remote:
            self._remote.follow(groups)
        members = (np.concatenate([np.arange(first[shard], first[shard + 1]) for shard in group]) for group in groups)
        return np.concatenate([rng.permutation(images) for images in members])

    def _read(self, shard, offset, length):
        if self._remote:
            return self._remote.read(shard, offset, length)
        try:
            with open(self._paths[shard], "rb") as stream:
                stream.seek(offset)
                return stream.read(length)
        except OSError as error:
            raise UnreadableImage(f"{self._paths[shard]}: {error.strerror}") from None
