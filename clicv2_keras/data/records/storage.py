"""Bytes from a local path, or from object storage through TensorFlow's file systems (`gs://bucket/folder`)."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from clicv2_keras.utils.errors import UserError

# Shards that are fetched at a time.
CONNECTIONS = 4


def is_remote(path):
    return "://" in os.fspath(path)


def join(root, name):
    return f"{root}/{name}" if is_remote(root) else os.path.join(os.path.expanduser(root), name)


def read_bytes(path, offset=0, length=-1):
    """The whole file, or a part of it.

    Raises:
        FileNotFoundError: where there is none.
        UserError: where the storage cannot be reached.
    """
    if not is_remote(path):
        with open(path, "rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except tf.errors.NotFoundError:
        raise FileNotFoundError(path) from None
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())
        raise UserError(f"{path}: {reason}; mend the access, or copy the folder here") from None


class RemoteShards:
    """Whole shards from object storage, in memory: the group in use, the one before, and the next, fetched meanwhile.
    Who was told no order reads the bytes that are asked for alone: images that are held out lie in all shards.

    Args:
        root: the folder of records.
        shards: those of its `RecordIndex`.
        capacity: shards that are held at most: three groups.
    """

    def __init__(self, root, shards, capacity):
        self.root = root
        self.shards = shards
        self.capacity = capacity
        self._held = {}
        self._after = None
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(CONNECTIONS)

    def follow(self, groups):
        """Be told the groups of shards in the order of an epoch."""
        self._after = {shard: after for group, after in zip(groups, groups[1:], strict=False) for shard in group}

    def read(self, shard, offset, length):
        """Bytes of a shard; waits until it is there.

        Raises:
            UserError: where it cannot be had, or is damaged.
        """
        if self._after is None:
            return self._bytes(shard, offset, length)
        with self._lock:
            for number in (shard, *self._after.get(shard, ())):
                if number not in self._held:
                    self._held[number] = self._pool.submit(self._fetch, number)
            for oldest in list(self._held)[: -self.capacity]:
                if oldest != shard:
                    del self._held[oldest]
            held = self._held[shard]
        return held.result()[offset : offset + length]

    def _fetch(self, number):
        data = self._bytes(number)
        if hashlib.sha256(data).hexdigest() != self.shards[number]["sha256"]:
            path = join(self.root, self.shards[number]["shard"])
            raise UserError(f"{path}: differs from its checksum in the index; copy it again")
        return data

    def _bytes(self, number, *part):
        path = join(self.root, self.shards[number]["shard"])
        try:
            return read_bytes(path, *part)
        except FileNotFoundError:
            raise UserError(f"{path}: the index names this shard, and it is not there; copy it again") from None
