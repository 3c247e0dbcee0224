from dataclasses import dataclass, replace

import numpy as np

from clicv2_keras.data.file_source import FileSource
from clicv2_keras.utils.errors import UserError


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """Images with the complexity that people gave them, row by row.

    Args:
        name: the data set's name.
        source: the images, in row order; `source.names[i]` is what the label file calls image i.
        scores: float64 (n,), in [0, 1]: the labels, rescaled from `score_range`.
        score_range: the lowest and the highest possible label, as given.
        categories: str (n,), "" where an image has none.
        splits: str (n,), "" where an image has none.
        ranked_within_category: whether scores can be compared only within a category; a pooled figure then means
            nothing.
        notes: lines for the user on what was left out.

    Raises:
        UserError: where scores are ranked within categories and an image has no category.
    """

    name: str
    source: FileSource
    scores: np.ndarray
    score_range: tuple[float, float]
    categories: np.ndarray
    splits: np.ndarray
    ranked_within_category: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.ranked_within_category and not np.all(self.categories != ""):
            first = self.source.names[int(np.argmin(self.categories != ""))]
            raise UserError(
                f"{self.name}: scores ranked within categories need a category for every image, and {first} has none; "
                "add one, or say that the scores are not ranked within categories"
            )

    def __len__(self):
        return len(self.source)

    def subset(self, index):
        """The rows of a boolean mask (n,) or of row numbers (m,), in that order."""
        rows = np.arange(len(self))[index]
        return replace(
            self,
            source=FileSource([self.source.paths[i] for i in rows], [self.source.names[i] for i in rows]),
            scores=self.scores[rows],
            categories=self.categories[rows],
            splits=self.splits[rows],
        )
