import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from clicv2_keras.data.records.storage import join, read_bytes
from clicv2_keras.utils.errors import UserError

# Shards that are fetched at a time.
CONNECTIONS = 4


class RemoteShards:
    """Whole shards from object storage, in memory: the group in use, the one before, and the next, fetched meanwhile.

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
        self._after = {}
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
        shard = self.shards[number]
        path = join(self.root, shard["shard"])
        try:
            data = read_bytes(path)
        except FileNotFoundError:
            raise UserError(f"{path}: the index names this shard, and it is not there; copy it again") from None
        if hashlib.sha256(data).hexdigest() != shard["sha256"]:
            raise UserError(f"{path}: differs from its checksum in the index; copy it again")
        return data
