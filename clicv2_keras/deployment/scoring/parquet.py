"""Rows as Parquet, a piece at a time: millions need no more memory than thousands."""

import itertools

import pyarrow as pa
import pyarrow.parquet as pq

from clicv2_keras.deployment.scoring.rows import OtherModelError, Row, read_rows
from clicv2_keras.utils.atomic_files import atomic_write

MODEL = b"clicv2_keras.model"
COLUMNS = {"file": pa.string(), "score": pa.float64(), "width": pa.int32(), "height": pa.int32(), "error": pa.string()}
ROWS = 65_536


def from_json_lines(source, target, row_format):
    """Write the rows of the file `source`, a `JsonLines`, as the Parquet file `target`, which appears when it is whole.

    The model stands in the file's metadata.
    """
    schema = pa.schema(COLUMNS, metadata={MODEL: row_format.model})
    with (
        atomic_write(target) as unfinished,
        open(source, "rb") as stream,
        pq.ParquetWriter(unfinished, schema) as writer,
    ):
        rows = (row._replace(file=unicode_name(row.file)) for row, _ in read_rows(stream, row_format))
        while piece := list(itertools.islice(rows, ROWS)):
            columns = zip(*piece, strict=True)
            writer.write_table(pa.table(dict(zip(Row._fields, columns, strict=True)), schema))


def to_json_lines(source, target, row_format):
    """The way back: `target` appears when it is whole.

    Raises:
        ValueError: where `source` is no Parquet file of rows.
        OtherModelError: where they are of another model.
    """
    with atomic_write(target) as unfinished, pq.ParquetFile(source) as table, open(unfinished, "wb") as stream:
        if table.schema_arrow.names != list(Row._fields):
            raise ValueError(f"{source}: its columns are {table.schema_arrow.names}")
        model = (table.schema_arrow.metadata or {}).get(MODEL, b"").decode("utf-8", "replace")
        if model != row_format.model:
            raise OtherModelError(f"its rows are of the model {model}" if model else "its rows do not name their model")
        for piece in table.iter_batches(ROWS):
            for row in piece.to_pylist():
                stream.write(row_format.encode(Row(**row)))


def holds_rows(path):
    """Whether a file is Parquet with the columns of a row."""
    try:
        return pq.read_schema(path).names == list(Row._fields)
    except (ValueError, OSError):
        return False


def unicode_name(file):
    """Parquet's text is Unicode; a file's name may be none."""
    return file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
