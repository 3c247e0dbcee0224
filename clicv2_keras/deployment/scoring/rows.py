"""Rows of scores, and their bytes: CSV and JSON lines. Each ends in a line break, so that what a kill cut off shows."""

import csv
import json
from dataclasses import dataclass
from typing import NamedTuple

from clicv2_keras.utils.text import csv_line


class Row(NamedTuple):
    """What is said of one image.

    Attributes:
        file: as it was named; for a folder, folder/relative path. Of a tile, FILE#xywh=left,top,width,height.
        score: complexity in [0, 1], to six decimals; None where the image could not be scored.
        width, height: of the whole image upright, in pixels; None where there is no score.
        error: one line on what went wrong, or None; beside a score, that its map could not be written.
    """

    file: str
    score: float | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None


def row_of(file, result):
    """The `Row` of a `Score`."""
    return Row(file, round(result.score, 6), result.width, result.height)


@dataclass
class Counts:
    """How many images were scored, and how many were not as they should be."""

    scored: int = 0
    failed: int = 0

    def add(self, row: Row) -> None:
        """Count a row in."""
        if row.error is None:
            self.scored += 1
        else:
            self.failed += 1


class OtherModelError(ValueError):
    """A row that another model scored, or that does not say which did."""


class OtherColumnsError(ValueError):
    """Rows that were written with an option, the error's text, where these are not, or the other way round."""


class RowFormat:
    """What the formats share: the columns that a file has besides those of `Row`.

    Args:
        model: what the last column, `model`, holds, of a file that may be gone on with; None: no such column.
        percentiles: a `Percentiles`, for a column `percentile`, which follows from the score; None: no such column.
    """

    def __init__(self, model=None, percentiles=None):
        self.model = model
        self.percentiles = percentiles
        self.added = tuple(name for name, of in (("percentile", percentiles), ("model", model)) if of is not None)

    def values(self, row):
        """What a row's line holds, a dict by column."""
        found = row._asdict()
        if self.percentiles is not None:
            found["percentile"] = None if row.score is None else self.percentiles(row.score)
        return found if self.model is None else found | {"model": self.model}


class Csv(RowFormat):
    """Columns as in `Row`, empty where a value is None; UTF-8, names that are none keep their bytes."""

    def __init__(self, model=None, percentiles=None):
        super().__init__(model, percentiles)
        self.header = (",".join((*Row._fields, *self.added)) + "\n").encode()

    def encode(self, row):
        return csv_line(self.values(row).values()).encode("utf-8", "surrogateescape")

    def decode(self, record):
        try:
            (cells,) = csv.reader([record.decode("utf-8", "surrogateescape")])
        except csv.Error as broken:  # is no ValueError
            raise ValueError(str(broken)) from None
        cells, added = cells[: len(Row._fields)], dict(zip(self.added, cells[len(Row._fields) :], strict=True))
        model = added.get("model")
        file, score, width, height, error = cells
        _check_model(self.model, model)
        return Row(
            file,
            float(score) if score else None,
            int(width) if width else None,
            int(height) if height else None,
            error or None,
        )

    @staticmethod
    def is_whole(record):
        # A line break between quotes is part of a file's name.
        return record.endswith(b"\n") and record.count(b'"') % 2 == 0


class JsonLines(RowFormat):
    """One object a line with the columns as keys; ASCII."""

    header = b""

    def encode(self, row):
        return (json.dumps(self.values(row)) + "\n").encode()

    def decode(self, record):
        values = json.loads(record)
        if not _has_keys_of_a_row(values):
            raise ValueError(f"its keys are not those of a row: {record[:40]!r}")
        _check_model(self.model, values.get("model"))
        if ("percentile" in values) != (self.percentiles is not None):
            raise OtherColumnsError("--percentile")
        return Row(*(values[name] for name in Row._fields))

    @staticmethod
    def is_whole(record):
        return record.endswith(b"\n")

    @staticmethod
    def seems_row(record):
        """Whether bytes are a row, whatever model's, or what is left of one that was cut off."""
        try:
            return _has_keys_of_a_row(json.loads(record))
        except (ValueError, RecursionError):
            begin = b'{"file": "'
            return not record.endswith(b"\n") and begin[: len(record)] == record[: len(begin)]


def _has_keys_of_a_row(values):
    return isinstance(values, dict) and {*Row._fields} <= set(values) <= {*Row._fields, "percentile", "model"}


def _check_model(wanted, found):
    if found != wanted:
        raise OtherModelError(f"its rows are of the model {found}" if found else "its rows do not name their model")


def read_rows(stream, row_format):
    """Yield the whole rows of a binary stream behind its header, each with the offset of its end; a cut one is not.

    Raises:
        ValueError: where these are no rows of this format.
        OtherModelError: where they are of another model.
    """
    record, end = b"", stream.tell()
    for line in stream:
        record += line
        if row_format.is_whole(record):
            end += len(record)
            yield row_format.decode(record), end
            record = b""
