from typing import NamedTuple

import numpy as np

from clicv2_keras.data.labelled.scored_images import ScoredImages


class JointSets(NamedTuple):
    """Several labelled sets as one.

    Args:
        images: `ScoredImages`, row by row those of each set; a category is called "set/category".
        groups: str (n,), images whose scores may be compared: all of a set with a common scale, else those of a
            category.
        common: the names of the groups that are a whole set with a common scale.
    """

    images: ScoredImages
    groups: np.ndarray
    common: list

    @property
    def group_names(self):
        """The groups, sorted."""
        return np.unique(self.groups).tolist()

    @property
    def group_numbers(self):
        """int (n,), each image's group as its number among `group_names`."""
        return np.unique(self.groups, return_inverse=True)[1]

    def subset(self, rows):
        """The rows of a boolean mask (n,) or of row numbers (m,)."""
        return self._replace(images=self.images.subset(rows), groups=self.groups[rows])


def join_sets(sets):
    """Bring labelled sets together: `ScoredImages`, each with scores in [0, 1] on a scale of its own; one or more."""
    if len(sets) == 1:
        (only,) = sets
        if only.ranked_within_category:
            return JointSets(only, only.categories, [])
        return JointSets(only, np.full(len(only), ""), [""])
    names = set_names(sets)
    categories, groups, common = [], [], []
    for name, each in zip(names, sets, strict=True):
        own = [f"{name}/{category}" if category else name for category in each.categories]
        categories += own
        groups += own if each.ranked_within_category else [name] * len(each)
        common += [] if each.ranked_within_category else [name]
    joint = ScoredImages(
        name=" and ".join(names),
        source=_JointSource([each.source for each in sets]),
        scores=np.concatenate([each.scores for each in sets]),
        # Of several scales none is the one.
        score_range=(0.0, 1.0),
        categories=np.array(categories),
        splits=np.concatenate([each.splits for each in sets]),
        ranked_within_category=True,
        notes=tuple(f"{name}: {note}" for name, each in zip(names, sets, strict=True) for note in each.notes),
    )
    return JointSets(joint, np.array(groups), common)


class _JointSource:
    """The images of several sources, one after the other, as a source of their own; see `open_source`."""

    def __init__(self, sources):
        self.sources = sources
        self.starts = np.cumsum([0, *map(len, sources)])

    def __len__(self):
        return int(self.starts[-1])

    @property
    def paths(self):
        """Of sources of files."""
        return [path for each in self.sources for path in each.paths]

    def name(self, index):
        source, own = self._of(index)
        return source.name(own)

    def load(self, index, at_least=None):
        source, own = self._of(index)
        return source.load(own, at_least)

    def _of(self, index):
        number = np.searchsorted(self.starts, index, side="right") - 1
        return self.sources[number], int(index - self.starts[number])


def set_names(sets):
    """What to call each of several `ScoredImages`: two tables may bear one name, and then bear their number too."""
    names = [each.name for each in sets]
    numbered = [f"{name} {i}" for i, name in enumerate(names, 1)]
    called = [number if names.count(name) > 1 else name for name, number in zip(names, numbered, strict=True)]
    # A third may be called just so.
    return called if len(set(called)) == len(called) else numbered
