"""Units of work: what a worker scores before it writes a file. A worker that dies costs one of them a second try."""

import functools
import hashlib
import itertools
import json
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clicv2_keras.deployment.scoring.corpus_inputs import Input
from clicv2_keras.deployment.scoring.corpus_members import members
from clicv2_keras.deployment.scoring.ray.image_scorer import ImageScorer
from clicv2_keras.deployment.scoring.ray.parts import MODEL_FILE, SUMMARY, UNITS, Parts, digest, kind_of, schema_of
from clicv2_keras.deployment.scoring.tiles import Tiling
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.text import unicode_name

# Files of their own in a unit: in each of the first 16 units 32, in the next 16 twice as many, and so on up to 256, so
# that a job of a thousand pictures has work for many workers. A shard, or a row group of Parquet, is one by itself.
FILES, RAMP = (32, 64, 128, 256), 16
# Rows in memory before they are written.
ROWS = 1024
# A name need not be Unicode.
_MANIFEST = pa.schema({"file": pa.binary(), "version": pa.string(), "group": pa.int32(), "error": pa.string()})


def units_of(inputs):
    """Yield lists of `Input`; the same inputs give the same lists."""
    made = itertools.count()
    for alone, group in itertools.groupby(inputs, key=lambda found: found.is_shard):
        sizes = itertools.repeat(1) if alone else (FILES[min(n // RAMP, len(FILES) - 1)] for n in made)
        while unit := list(itertools.islice(group, next(sizes))):
            yield unit


def part_name(unit):
    """What the file of a unit is called, by its inputs: a second try writes it again."""
    digests = np.array([digest(found.file, found.version, found.group) for found in unit], np.uint64)
    return f"part-{hashlib.blake2b(digests.tobytes(), digest_size=10).hexdigest()}.parquet"


def write_units(parts, inputs, done):
    """Write down what is to be done, a row group for each unit, so that no process holds all of it.

    Args:
        parts: a `Parts`.
        inputs: iterable of `Input`.
        done: sorted uint64 (n,), digests of the inputs that have their rows.

    Returns:
        The units' sizes, uint32 (units,), and the digests of all inputs, sorted uint64 (inputs,).

    Raises:
        UserError: where an input comes twice: a file of rows has its name by its inputs.
    """
    sizes, digests = [], []
    with parts.written(UNITS) as path, pq.ParquetWriter(path, _MANIFEST) as writer:
        for unit in units_of(inputs):
            found = np.array([digest(item.file, item.version, item.group) for item in unit], np.uint64)
            digests.append(found)
            left = [item for item, is_done in zip(unit, np.isin(found, done), strict=True) if not is_done]
            if left:
                rows = [item._replace(file=os.fsencode(item.file))._asdict() for item in left]
                writer.write_table(pa.Table.from_pylist(rows, _MANIFEST))
                sizes.append(len(left))
        listed = np.sort(np.concatenate(digests))
        if repeated := np.count_nonzero(listed[1:] == listed[:-1]):
            raise UserError(
                f"INPUT: {repeated:,} files are named more than once, as by globs that overlap; once is enough"
            )
    return np.array(sizes, np.uint32), listed


def read_unit(manifest, number):
    """The list of `Input` of a row group of what `write_units` wrote."""
    rows = manifest.read_row_group(number).to_pylist()
    return [Input(**row | {"file": os.fsdecode(row["file"])}) for row in rows]


class UnitScorer:
    """An actor's work: scores a unit into its file.

    Args:
        folder: that relative names of inputs start from.
        identity: what is written of the model; its file is in the output.
        output: as of `Parts`.
        tile: a pair as of `Tiling`, or None.
        embeddings: whether they are written.
        column: of Parquet inputs, see `members`.
        seconds: that the decoding of one picture may take.
    """

    def __init__(self, folder, identity, output, tile, embeddings, column, seconds):
        self._tiling = tile and Tiling(*tile)
        os.chdir(folder)
        self._parts = Parts(output)
        model = self._parts.files.cat_file(f"{self._parts.folder}/{MODEL_FILE}")
        self._scorer = ImageScorer(model, self._tiling, seconds)
        self._schema = schema_of(identity, embeddings)
        self._members = functools.partial(members, column=column)
        with self._parts.files.open(f"{self._parts.folder}/{UNITS}", "rb") as stream:
            self._manifest = pq.ParquetFile(pa.BufferReader(stream.read()))

    def __call__(self, batch):
        (number,) = batch["unit"]
        unit = read_unit(self._manifest, int(number))
        name = part_name(unit)
        # Written by one that died before it could tell.
        summary = self._parts.summary(name) or self._score(unit, name)
        return {"unit": [int(number)], "summary": [json.dumps(summary)]}

    def _score(self, unit, name):
        start = time.perf_counter()
        count = {"inputs": len(unit), "images": 0, "expected": 0, "failures": {}}
        with self._parts.written(name) as path, pq.ParquetWriter(path, self._schema) as writer:
            rows = self._rows(unit, count)
            written = 0
            while piece := list(itertools.islice(rows, ROWS)):
                writer.write_table(pa.Table.from_pylist(piece, self._schema))
                written += len(piece)
            summary = count | {"seconds": time.perf_counter() - start}
            writer.add_key_value_metadata({SUMMARY: json.dumps(summary)})
        return summary | {"rows": written}

    def _rows(self, unit, count):
        for found in unit:
            origin = {"source": unicode_name(found.file), "version": found.version, "group": found.group}
            for member in self._members(found):
                count["images"] += 1
                tiles = 1
                for given, (row, score) in enumerate(self._scorer.rows(member.file, member.source, member.error), 1):
                    if row.error is not None:
                        # In place of all tiles, or of those that follow.
                        tiles, kind = given, kind_of(row.error)
                        count["failures"][kind] = count["failures"].get(kind, 0) + 1
                    elif self._tiling:
                        tiles = self._tiling.count(row.width, row.height)
                    values = row._asdict() | origin | {"key": member.key}
                    for name in ("file", "error", "key"):
                        values[name] = values[name] and unicode_name(values[name])
                    if "embedding" in self._schema.names:
                        values["embedding"] = score and score.embedding.tolist()
                    yield values
                count["expected"] += tiles
