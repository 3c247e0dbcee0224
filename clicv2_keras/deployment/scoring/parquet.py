"""Rows as Parquet, a piece at a time: millions need no more memory than thousands."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clicv2_keras.deployment.scoring.embeddings_file import remove_embeddings
from clicv2_keras.deployment.scoring.rows import OtherColumnsError, OtherModelError, Row, read_rows
from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.text import unicode_name

MODEL = b"clicv2_keras.model"
COLUMNS = {"file": pa.string(), "score": pa.float64(), "width": pa.int32(), "height": pa.int32(), "error": pa.string()}
PERCENTILE, EMBEDDING = "percentile", "embedding"
OPTIONS = {PERCENTILE: "--percentile", EMBEDDING: "--embeddings"}
ROWS = 65_536


def from_json_lines(source, target, row_format, embeddings=None):
    """Write the rows of the file `source`, a `JsonLines`, as the Parquet file `target`, which appears when it is whole.

    The model stands in the file's metadata; `embeddings`, an `EmbeddingsFile`, in a column.
    """
    columns = COLUMNS | ({} if row_format.percentiles is None else {PERCENTILE: pa.float64()})
    if embeddings:
        columns |= {EMBEDDING: pa.list_(pa.float32(), embeddings.width)}
    schema = pa.schema(columns, metadata={MODEL: row_format.model})
    with (
        atomic_write(target) as unfinished,
        open(source, "rb") as stream,
        pq.ParquetWriter(unfinished, schema) as writer,
    ):
        read = (row for row, _ in read_rows(stream, row_format))
        # What is wrong with a file may name it.
        rows = (row._replace(file=unicode_name(row.file), error=row.error and unicode_name(row.error)) for row in read)
        done = 0
        while piece := list(itertools.islice(rows, ROWS)):
            values = [row_format.values(row) for row in piece]
            table = {name: [row[name] for row in values] for name in columns if name != EMBEDDING}
            if embeddings:
                vectors = embeddings.read(done, len(piece))
                table[EMBEDDING] = pa.FixedSizeListArray.from_arrays(
                    pa.array(vectors.ravel()), embeddings.width, mask=pa.array(np.isnan(vectors).any(axis=1))
                )
            writer.write_table(pa.table(table, schema))
            done += len(piece)


def to_json_lines(source, target, row_format, embeddings=None):
    """The way back: `target` appears when it is whole; the vectors go back to `embeddings`.

    Raises:
        ValueError: where `source` is no Parquet file of rows.
        OtherModelError: where they are of another model.
        OtherColumnsError: where they were written with other options.
    """
    remove_embeddings(source)
    with atomic_write(target) as unfinished, pq.ParquetFile(source) as table, open(unfinished, "wb") as stream:
        names = table.schema_arrow.names
        if names[: len(Row._fields)] != list(Row._fields):
            raise ValueError(f"{source}: its columns are {names}")
        for column, asked in ((PERCENTILE, row_format.percentiles is not None), (EMBEDDING, embeddings is not None)):
            if (column in names) != asked:
                raise OtherColumnsError(OPTIONS[column])
        model = (table.schema_arrow.metadata or {}).get(MODEL, b"").decode("utf-8", "replace")
        if model != row_format.model:
            raise OtherModelError(f"its rows are of the model {model}" if model else "its rows do not name their model")
        for piece in table.iter_batches(ROWS):
            for row in piece.select(Row._fields).to_pylist():
                stream.write(row_format.encode(Row(**row)))
            if embeddings:
                for vector in piece.column(EMBEDDING).to_pylist():
                    embeddings.write(vector)


def holds_rows(path):
    """Whether a file is Parquet with the columns of a row."""
    try:
        return pq.read_schema(path).names[: len(Row._fields)] == list(Row._fields)
    except (ValueError, OSError):
        return False
