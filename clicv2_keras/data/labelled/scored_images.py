from dataclasses import dataclass, replace

import numpy as np

from clicv2_keras.data.subset import Subset
from clicv2_keras.utils.errors import UserError

# Rows of figures that stand beside those of the categories, by name: over all images, and the mean of the categories.
SUMMARIES = OVERALL, MEAN = "overall", "mean of categories"


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """Images with the complexity that people gave them, or that is known, row by row.

    Args:
        name: the data set's name.
        source: the images, in row order, see `open_source`; `source.name(i)` is what the label file calls image i.
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
    source: object
    scores: np.ndarray
    score_range: tuple[float, float]
    categories: np.ndarray
    splits: np.ndarray
    ranked_within_category: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.ranked_within_category and not np.all(self.categories != ""):
            first = self.source.name(int(np.argmin(self.categories != "")))
            raise UserError(
                f"{self.name}: scores ranked within categories need a category for every image, and {first} has none; "
                "add one, or say that the scores are not ranked within categories"
            )

    def __len__(self):
        return len(self.source)

    @property
    def names(self):
        """What the label file calls the images, row by row."""
        return [self.source.name(i) for i in range(len(self))]

    def subset(self, index):
        """The rows of a boolean mask (n,) or of row numbers (m,), in that order."""
        rows = np.arange(len(self))[index]
        return replace(
            self,
            source=Subset(self.source, rows),
            scores=self.scores[rows],
            categories=self.categories[rows],
            splits=self.splits[rows],
        )
