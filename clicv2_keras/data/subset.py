import hashlib
from pathlib import PurePath

import numpy as np


class Subset:
    """Some images of a source, as a source of their own.

    Args:
        source: see `open_source`.
        indices: int (n,), their numbers there.
    """

    def __init__(self, source, indices):
        self.source = source
        self.indices = np.asarray(indices)

    def __len__(self):
        return len(self.indices)

    @property
    def paths(self):
        """Of a source of files."""
        return [self.source.paths[i] for i in self.indices]

    def name(self, index):
        return self.source.name(self.indices[index])

    def load(self, index, at_least=None):
        return self.source.load(self.indices[index], at_least)

    def order(self, rng):
        """The images of an epoch in a shuffled order, drawn from `rng`: that of the whole source, where it has one."""
        if not hasattr(self.source, "order"):
            return rng.permutation(len(self))
        place = np.full(len(self.source), -1)
        place[self.indices] = np.arange(len(self))
        order = place[self.source.order(rng)]
        return order[order >= 0]


def split_held_out(source, count):
    """Keep `count` images out: those whose file names have the smallest SHA-256, wherever they lie; of one name those
    whose folders have. An image that the source names twice is kept out as often.

    Returns:
        Two sources: what is trained on, and what is kept out, in the source's order.
    """

    def mark(index):
        parts = reversed(PurePath(source.name(index)).parts)
        return [hashlib.sha256(part.encode("utf-8", "surrogateescape")).digest() for part in parts], index

    kept_out = {source.name(index) for index in sorted(range(len(source)), key=mark)[:count]}
    out = [index for index in range(len(source)) if source.name(index) in kept_out]
    return Subset(source, np.setdiff1d(np.arange(len(source)), out)), Subset(source, out)
