"""The data set that a job writes: a Parquet file for each unit of work, and its name when all are there."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from clicv2_keras.deployment.scoring.corpus_inputs import SETTINGS, filesystem, one_line
from clicv2_keras.deployment.scoring.output_file import check_begin
from clicv2_keras.deployment.scoring.parquet import COLUMNS, MODEL
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.text import unicode_name

# Where a row comes from: the file or shard, its version, of Parquet the row group, and the picture's key in it.
ORIGIN = {"source": pa.string(), "version": pa.string(), "group": pa.int32(), "key": pa.string()}
INPUT = ["source", "version", "group"]
SUMMARY = b"clicv2_keras.summary"
UNITS = "_units.parquet"
MODEL_FILE = "_model.tflite"
# Of a job that begins anew beside scores, which it replaces once it is done.
ANEW = "_anew"


class Parts:
    """A folder of Parquet files, here or in an object store, `OUTPUT.partial` until the job has finished it.

    What is in a file's metadata under `clicv2_keras.summary`, JSON, is what its unit counted.

    Args:
        output: path or URL.

    Attributes:
        url: the same, for a process in another folder.
        stale: names of the parts of a stopped job in whose place this one begins; `remove_stale` removes them.
    """

    def __init__(self, output):
        self.output = os.path.expanduser(output)
        self.files, path = filesystem(self.output)
        self._whole = path.rstrip("/")
        self.url = self.files.unstrip_protocol(self._whole)
        self.folder = f"{self._whole}.partial"

    def begin(self, settings, resume, force):
        """Make the folder, or go on with it.

        Raises:
            UserError: where there is one and neither `resume` nor `force` is given, or both are, or it is of other
                settings.
        """
        check_begin(resume, force)
        self._anew = resume and self.files.exists(f"{self.folder}/{ANEW}")
        # What it replaces has no part in it.
        looked_at = [self.folder] if self._anew else [self._whole, self.folder]
        there = [folder for folder in looked_at if self.files.exists(folder)]
        for folder in there:
            kept = f"{folder}/{SETTINGS}"
            if not self.files.exists(kept):
                if self.files.isfile(folder) or self.files.ls(folder):
                    raise UserError(f"--output {self.output}: {folder} is no data set of scores; name another folder")
            elif not resume and not force:
                raise UserError(f"--output {self.output}: there are scores; --resume goes on, --force begins anew")
            elif resume and json.loads(self.files.cat_file(kept)) != settings:
                raise UserError(
                    f"--resume: the scores in {folder} are of another model, --tile, --stride, --column or columns; "
                    "give the same, or name another --output"
                )
        self.stale = self.names() if force and self.folder in there else set()
        self._anew = self._anew or (force and self._whole in there)
        self._was_whole = self._whole in there and not force
        if self._was_whole:
            self._move(self._whole, self.folder)
        self.files.makedirs(self.folder, exist_ok=True)
        self._settings = settings
        if not self.stale:
            self._describe()

    def remove_stale(self):
        """Remove what a stopped job left, once nothing is known to be wrong with this one."""
        for name in self.stale:
            self.files.rm(f"{self.folder}/{name}")
        if self.stale:
            self._describe()

    def _describe(self):
        if self._anew:
            self.files.pipe_file(f"{self.folder}/{ANEW}", b"")
        self.files.pipe_file(f"{self.folder}/{SETTINGS}", json.dumps(self._settings).encode())

    def undo(self):
        """Take back what `begin` did, where no row was written or taken out since."""
        if self.files.exists(f"{self.folder}/{UNITS}"):
            self.files.rm(f"{self.folder}/{UNITS}")
        if not self.names():
            self.files.rm(self.folder, recursive=True)
        elif self._was_whole:
            self._move(self.folder, self._whole)

    def finish(self):
        """Give the whole its name, in place of the scores that it replaces."""
        # First of all: what is left where this ends half-way goes on as what it is.
        if self._anew and self.files.exists(self._whole):
            self.files.rm(self._whole, recursive=True)
        for path in self.files.ls(self.folder, detail=False):
            if os.path.basename(path).startswith(("_unfinished", UNITS, MODEL_FILE, ANEW)):
                self.files.rm(path)
        self._move(self.folder, self._whole)

    def _move(self, source, target):
        if isinstance(self.files, LocalFileSystem) and not self.files.exists(target):
            os.rename(source, target)
            return
        paths = self.files.find(source)
        self.files.copy(paths, [target + path[len(source) :] for path in paths])
        self.files.rm(source, recursive=True)

    @contextlib.contextmanager
    def written(self, name):
        """Context that gives a path here to write to; in the end it is the folder's file `name`, whole."""
        unfinished = f"{self.folder}/_unfinished-{uuid.uuid4().hex}"
        with tempfile.TemporaryDirectory() as here:
            path = os.path.join(here, "part")
            yield path
            self.files.put_file(path, unfinished)
        self.files.mv(unfinished, f"{self.folder}/{name}")

    def names(self):
        """The names of the parts that are there, a set."""
        self.files.invalidate_cache()
        paths = self.files.ls(self.folder, detail=False)
        return {name for name in map(os.path.basename, paths) if name.startswith("part-")}

    def summary(self, name):
        """What a part's unit counted, a dict, and `rows`, what its footer counts; None where there is no such part."""
        try:
            with self.files.open(f"{self.folder}/{name}", "rb") as stream:
                found = pq.read_metadata(stream)
        except FileNotFoundError:
            return None
        return json.loads(found.metadata[SUMMARY]) | {"rows": found.num_rows}

    def digests(self, name):
        """Two arrays, uint64 (n,) and (m,): of the inputs that a part has rows of, and of those among them that could
        not be read as a whole: a file, or what is behind a break of a shard.

        Raises:
            UserError: where the part cannot be read.
        """
        path = f"{self.folder}/{name}"
        try:
            with self.files.open(path, "rb") as stream:
                table = pq.read_table(stream, columns=[*INPUT, "key", "error"])
        except Exception as error:  # whatever Arrow and an object store raise
            # Of the system's own errors Arrow's have no number.
            broken = isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and error.errno is None)
            remedy = "; remove it, and --resume scores its inputs again" if broken else ""
            raise UserError(f"{path}: cannot be read{remedy}: {one_line(error)}") from None
        unread = table.filter(pc.and_(pc.is_null(table["key"]), pc.is_valid(table["error"])))
        return tuple(_digests(rows.group_by(INPUT).aggregate([])) for rows in (table, unread))

    def keep(self, name, wanted):
        """Take the rows out of a part whose inputs' digests are not among `wanted`, a sorted uint64 (n,)."""
        with self.files.open(f"{self.folder}/{name}", "rb") as stream:
            table = pq.read_table(stream)
        table = table.filter(pa.array(np.isin(_digests(table), wanted)))
        if not table.num_rows:
            self.files.rm(f"{self.folder}/{name}")
            return
        summary = self.summary(name)
        inputs, images = (table.group_by(columns).aggregate([]).num_rows for columns in (INPUT, list(ORIGIN)))
        summary |= {"inputs": inputs, "images": images, "expected": table.num_rows, "failures": kinds(table)}
        del summary["rows"]
        metadata = table.schema.metadata | {SUMMARY: json.dumps(summary)}
        with self.written(name) as path:
            pq.write_table(table.replace_schema_metadata(metadata), path)


def _digests(table):
    inputs = zip(*(table[column].to_pylist() for column in INPUT), strict=True)
    return np.array([digest(*found) for found in inputs], np.uint64)


def digest(source, version, group):
    """64 bits of an input's identity."""
    text = f"{unicode_name(source)}\0{version}\0{group}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def kinds(table):
    """How many rows have an error of which kind, a dict."""
    counted = pc.value_counts(table["error"].drop_null()).to_pylist()
    found = {}
    for entry in counted:
        kind = kind_of(entry["values"])
        found[kind] = found.get(kind, 0) + entry["counts"]
    return found


def kind_of(error):
    """An error without its figures and names: what many have in common."""
    return re.sub(r"\d[\d,.]*", "N", error)[:80]


def schema_of(model, embeddings):
    """The columns of a part."""
    columns = COLUMNS | ORIGIN | ({"embedding": pa.list_(pa.float32())} if embeddings else {})
    return pa.schema(columns, metadata={MODEL: model})
