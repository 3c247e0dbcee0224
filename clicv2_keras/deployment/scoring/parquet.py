"""Rows as Parquet, a piece at a time: millions need no more memory than thousands."""

import itertools

import pyarrow as pa
import pyarrow.parquet as pq

from clicv2_keras.deployment.scoring.rows import JsonLines, Row, read_rows
from clicv2_keras.utils.atomic_files import atomic_write

SCHEMA = pa.schema(
    {"file": pa.string(), "score": pa.float64(), "width": pa.int32(), "height": pa.int32(), "error": pa.string()}
)
ROWS = 65_536


def from_json_lines(source, target):
    """Write the rows of the file `source` as the Parquet file `target`, which appears when it is whole."""
    with (
        atomic_write(target) as unfinished,
        open(source, "rb") as stream,
        pq.ParquetWriter(unfinished, SCHEMA) as writer,
    ):
        rows = (_text(row) for row, _ in read_rows(stream, JsonLines))
        while piece := list(itertools.islice(rows, ROWS)):
            columns = zip(*piece, strict=True)
            writer.write_table(pa.table(dict(zip(Row._fields, columns, strict=True)), SCHEMA))


def to_json_lines(source, target):
    """The way back: `target` appears when it is whole.

    Raises:
        ValueError: where `source` is no Parquet file of rows.
    """
    with atomic_write(target) as unfinished, pq.ParquetFile(source) as table, open(unfinished, "wb") as stream:
        if table.schema_arrow.names != list(Row._fields):
            raise ValueError(f"{source}: its columns are {table.schema_arrow.names}")
        for piece in table.iter_batches(ROWS):
            for row in piece.to_pylist():
                stream.write(JsonLines.encode(Row(**row)))


def _text(row):
    """Parquet's text is Unicode; a file's name may be none."""
    return row._replace(file=row.file.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
