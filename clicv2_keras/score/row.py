from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """What is said of one image.

    Attributes:
        file: as it was named; for a folder, folder/relative path.
        score: complexity in [0, 1], to six decimals; None where there is an error.
        width, height: of the whole image upright, in pixels; None where there is an error.
        error: one line on what went wrong, or None.
    """

    file: str
    score: float | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None


@dataclass
class Counts:
    """How many images were scored, and how many were not as they should be."""

    scored: int = 0
    failed: int = 0

    def add(self, row):
        if row.error is None:
            self.scored += 1
        else:
            self.failed += 1
