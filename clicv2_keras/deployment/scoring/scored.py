"""The files and data sets of scores, read a piece at a time: millions of rows need no more memory than thousands."""

import itertools
import json
import os

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset

from clicv2_keras.deployment.scoring.corpus_inputs import SETTINGS, filesystem
from clicv2_keras.deployment.scoring.parquet import COLUMNS, ROWS
from clicv2_keras.utils.errors import UserError

NO_SCORES = "has no columns file and score; was it written by clicv2-keras score?"


def open_scores(scores):
    """Open a `.csv`, `.jsonl` or `.parquet` file of `clicv2-keras score`, or the folder or URL of a data set.

    Returns:
        A `pyarrow.dataset.Dataset`, or what has its `schema` and `to_batches` (names are text, or bytes where they need
        not be Unicode); and the column of pictures that a data set was scored by, or None.

    Raises:
        UserError: where it is none of these, or has no columns of that name.
        Exception: whatever Arrow or an object store raises; see `told`.
    """
    files, path = filesystem(os.path.expanduser(scores))
    form = "data set" if files.isdir(path) else os.path.splitext(path)[1].lower()
    if form in (".jsonl", ".ndjson"):
        return _JsonLines(files, path), None
    # A name need not be Unicode, and the first scores may all be missing.
    options = pa.csv.ConvertOptions(column_types=COLUMNS | {"file": pa.binary()})
    csv = pa.dataset.CsvFileFormat(pa.csv.ParseOptions(newlines_in_values=True), convert_options=options)
    forms = {"data set": "parquet", ".parquet": "parquet", ".csv": csv}
    if form not in forms:
        if not files.exists(path):
            raise UserError(f"SCORES {scores}: there is no such file or folder")
        raise UserError(f"SCORES {scores}: takes a .csv, .jsonl or .parquet file, or the folder of a data set")
    table = pa.dataset.dataset(path, filesystem=files, format=forms[form])
    if not {"file", "score"} <= set(table.schema.names):
        raise UserError(f"SCORES {scores}: {NO_SCORES}")
    settings = f"{path.rstrip('/')}/{SETTINGS}"
    told = form == "data set" and files.exists(settings)
    return table, json.loads(files.cat_file(settings)).get("column") if told else None


class _JsonLines:
    """Arrow's own reader takes no name that is not Unicode, and a column's type from its first rows."""

    schema = pa.schema({"file": pa.binary(), "score": pa.float64()})

    def __init__(self, files, path):
        self._files, self._path = files, path

    def to_batches(self, columns):
        with self._files.open(self._path, "rb") as stream:
            while lines := list(itertools.islice(stream, ROWS)):
                names, scores = zip(*map(_values, lines), strict=True)
                yield pa.record_batch([pa.array(names), pa.array(scores, pa.float64())], self.schema).select(columns)


def _values(line):
    row = json.loads(line)
    if not isinstance(row, dict) or "score" not in row or not isinstance(row.get("file"), str):
        raise ValueError(NO_SCORES)
    return row["file"].encode("utf-8", "surrogateescape"), row["score"]
