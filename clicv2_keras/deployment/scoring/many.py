"""Scores of many images at hand, in threads: for a notebook, where one bad file must not end the work."""

import os

import numpy as np

from clicv2_keras.deployment.scoring.rows import Row, row_of
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.threads import ordered_map, share_cores


class Scores(list):
    """A list of `Row`, one an image, in order; `file` is the path, or the image's number where it has none.

    Attributes:
        values: float64 (n,), the scores; NaN where an image has an error.
    """

    @property
    def values(self):
        return np.array([np.nan if row.score is None else row.score for row in self])

    def to_frame(self):
        """A pandas `DataFrame` with the columns of `Row`, a line an image.

        Raises:
            ModuleNotFoundError: where pandas is missing, which the package does not ask for.
        """
        import pandas

        frame = pandas.DataFrame(self, columns=Row._fields)
        return frame.astype({"score": "float64", "width": "Int64", "height": "Int64"})


def score_many(scorer, images, workers=None):
    """See `Scorer.score_many`."""
    workers, _ = share_cores(workers)
    if isinstance(images, str | bytes | bytearray | memoryview) or hasattr(images, "read"):
        raise TypeError(f"images are several, such as [image]; of one, {type(images).__name__}, there is Scorer.score")
    if isinstance(images, np.ndarray) and images.ndim != 4:
        raise ValueError(
            f"an array of several images is (B, H, W, 3), not {images.shape}; of one there is Scorer.score"
        )

    def work(numbered):
        number, image = numbered
        file = os.fspath(image) if isinstance(image, str | os.PathLike) else str(number)
        try:
            return row_of(file, scorer.score(image))
        except (UnreadableImage, OSError) as error:
            return Row(file, error=str(error))

    return Scores(ordered_map(work, enumerate(images), workers))
