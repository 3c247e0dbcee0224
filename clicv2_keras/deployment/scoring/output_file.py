import importlib.util
import itertools
import os

from clicv2_keras.deployment.scoring.embeddings_file import remove_embeddings, unfinished_embeddings, whole_embeddings
from clicv2_keras.deployment.scoring.rows import Csv, JsonLines, OtherColumnsError, OtherModelError, read_rows
from clicv2_keras.deployment.scoring.tiles import tile_name
from clicv2_keras.utils.errors import UserError, install_hint
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.paths import check_local, lock, user_path

FORMATS = {".csv": Csv, ".jsonl": JsonLines, ".ndjson": JsonLines, ".parquet": JsonLines}


def check_begin(resume, force):
    """Say that an output is either gone on with or replaced.

    Raises:
        UserError: where both are asked for.
    """
    if resume and force:
        raise UserError("--resume: goes on with what --force would replace; give one of them")


class OutputFile:
    """A file of rows that a stopped run can go on with, and that replaces nobody's file.

    CSV and JSON lines grow in place. Parquet cannot: its rows stand as JSON lines in `PATH.partial` until all are
    there. Each row names the model that scored it. Nothing is opened before the first row.

    Args:
        path: the file; its ending says the format.
        model: the model's name and checksum, as the file will name it.
        percentiles: a `Percentiles`, for a column of that name; see `RowFormat`.
        embeddings: an `EmbeddingsFile`, whose rows go with these; None writes none.
        tiling: a `Tiling`, where each file has the rows of its tiles.

    Attributes:
        begun: list of the file, if any, whose tiles `resume` found only in part: its rows are gone, and it is to be
            scored before what is left of `files`.

    Raises:
        UserError: where the ending is another, its folder is missing, or Parquet is asked for and pyarrow is missing.
    """

    def __init__(self, path, model, percentiles=None, embeddings=None, tiling=None):
        check_local(path, "--output")
        self.path = user_path(path)
        self._tiling = tiling
        self.begun = []
        ending = self.path.suffix.lower()
        if ending not in FORMATS:
            raise UserError(f"--output {path}: its name must end in .csv, .jsonl or .parquet")
        if not self.path.parent.is_dir():
            raise UserError(f"--output {path}: there is no folder {self.path.parent}; make it first")
        self._is_parquet = ending == ".parquet"
        if self._is_parquet and importlib.util.find_spec("pyarrow") is None:
            raise UserError(f"--output {path}: Parquet needs pyarrow; {install_hint('parquet')}")
        self._format = FORMATS[ending](model, percentiles)
        self._embeddings = embeddings
        self._rows = self.path.with_name(f"{self.path.name}.partial") if self._is_parquet else self.path
        self._stream = None
        # Whether what is there when the first row comes is what `start` or `resume` found.
        self._replaces = False
        # Of a whole Parquet file that is gone on with, until there is something new.
        self._is_copy = False

    def start(self, force=False):
        """Begin anew.

        Args:
            force: replace what earlier calls wrote there, of whatever model.

        Raises:
            UserError: where there is such a file and `force` is False, or a file that is no output of ours.
        """
        self._replaces = force
        for path in {self.path, self._rows}:
            if not path.exists() or path.stat().st_size == 0:
                continue
            if not self._is_ours(path):
                raise UserError(f"--output {path}: is no output of clicv2-keras score, and is kept; name another")
            if not force:
                raise UserError(f"--output {path}: exists; --resume goes on with it, --force begins anew in its place")
        if not force:
            self._check_embeddings()

    def resume(self, files):
        """Yield the rows that are there, and take from the iterator `files` what they are about; then go on behind
        them.

        Raises:
            UserError: where the file is none of ours, of another model, with other options, or about other images.
        """
        self._replaces = True
        try:
            unfinished, whole = unfinished_embeddings(self.path), whole_embeddings(self.path)
            if not self._embeddings and (whole or unfinished.exists()):
                raise OtherColumnsError("--embeddings")
            if self._is_parquet and not self._rows.exists() and self.path.exists():
                from clicv2_keras.deployment.scoring.parquet import to_json_lines

                to_json_lines(self.path, self._rows, self._format, self._embeddings)
                self._is_copy = True
            if not self._rows.exists() or self._has_only_a_part_of_the_header():
                self._check_embeddings(begun=self._rows.exists())
                return
            kept = 0
            for row in self._kept_rows(files):
                kept += 1
                yield row
            if self._embeddings:
                self._embeddings.resume(kept)
        except OtherColumnsError as error:
            raise UserError(
                f"--resume: {self.path}: was begun {'without' if self._options[str(error)] else 'with'} {error}; "
                "give the same options, or name another file"
            ) from None
        except OtherModelError as error:
            raise UserError(
                f"--resume: {self.path}: {error}, not of {self._format.model}; name another file, or take that model"
            ) from None
        except ValueError:
            raise UserError(
                f"--resume: {self.path} is no output of clicv2-keras score; name another file with --output"
            ) from None

    def write(self, row, embedding=None):
        if self._stream is None:
            self._begin()
        if self._embeddings:
            # Before its row: what a row is about is there.
            self._embeddings.write(embedding)
        self._put(self._format.encode(row))
        self._is_copy = False

    def finish(self):
        """All rows are written.

        Raises:
            UserError: where a Parquet file has come to be there meanwhile; the rows stay in `PATH.partial`.
        """
        if self._is_parquet:
            if self.path.exists() and not self._replaces:
                raise self._exists()
            from clicv2_keras.deployment.scoring.parquet import from_json_lines

            from_json_lines(self._rows, self.path, self._format, self._embeddings)
            # Windows removes no open file.
            self._stream.close()
            os.unlink(self._rows)
        if self._embeddings:
            self._embeddings.finish()
        self._stream.close()

    def close(self):
        if self._stream:
            self._stream.close()
        if self._embeddings:
            self._embeddings.close(remove=self._is_copy)
        if self._is_copy:
            self._rows.unlink(missing_ok=True)

    @property
    def _options(self):
        return {"--percentile": self._format.percentiles, "--embeddings": self._embeddings}

    def _check_embeddings(self, begun=False):
        """Those of rows that are gone would be taken for those of the rows that begin here; unfinished ones may be of
        rows that have `begun`."""
        unfinished, there = unfinished_embeddings(self.path), whole_embeddings(self.path)
        if there is None and not begun and unfinished.exists():
            there = unfinished
        if there:
            raise UserError(f"--output {self.path}: {there} exists; name another, or --force begins anew in its place")

    def _exists(self):
        return UserError(f"--output {self.path}: has come to be there meanwhile, and is kept; name another")

    def _open(self, mode):
        stream = open(self._rows, mode)
        lock(stream, f"--output {self.path}")
        self._stream = stream

    def _begin(self):
        # Emptied once it is known that nobody else writes there.
        self._open("ab")
        if self._stream.tell() and not (self._replaces and self._begins_as_ours()):
            raise self._exists()
        remove_embeddings(self.path)
        self._stream.truncate(0)
        self._put(self._format.header)

    def _kept_rows(self, files):
        self._open("r+b")
        stream = self._stream
        header = self._format.header
        if (begin := stream.read(len(header))) != header:
            columns = (begin + stream.readline(2**16)).partition(b"\n")[0]
            if b"model" in columns and columns.startswith(Csv().header.strip()):
                raise OtherColumnsError("--percentile")
            if begin.startswith(Csv().header.strip()):
                raise OtherModelError("its rows do not name their model")
            raise ValueError("another header")
        if not header and not JsonLines.seems_row(stream.readline(2**16)):
            raise ValueError("no rows")
        stream.seek(end := len(header))
        rows, number = read_rows(stream, self._format), 0
        for first in rows:
            found = next(files, None)
            names = self._expected(found, first[0])
            group = [first, *itertools.islice(rows, len(names) - 1)]
            for name, (row, _) in zip(names, group, strict=False):
                number += 1
                if found is None or row.file not in self._names(name):
                    there = "there is none" if found is None else f"it is {name}"
                    raise UserError(
                        f"--resume: image {number} in {self._rows} is {row.file}, but now {there}; "
                        "give the same PATHs, or name another --output"
                    )
            if len(group) < len(names):
                self.begun = [found]
                break
            yield from (row for row, _ in group)
            _, end = group[-1]
        stream.truncate(end)
        stream.seek(end)

    def _expected(self, found, row):
        """The names of the rows of a file, of which `row` is the first."""
        name = found.file if found else ""
        if self._tiling is None or row.error:
            return [name]
        try:
            return [tile_name(name, box) for box in self._tiling.boxes(row.width, row.height)]
        except UnreadableImage:
            raise UserError(
                f"--resume: {self.path}: was begun with another --tile or --stride, or without; "
                "give the same options, or name another file"
            ) from None

    def _names(self, file):
        """What a file may be called in the rows: in Parquet a name that is not Unicode was made so."""
        if not self._is_parquet:
            return (file,)
        from clicv2_keras.utils.text import unicode_name

        return file, unicode_name(file)

    def _put(self, data):
        self._stream.write(data)
        # A row that was reported is there, whatever happens next.
        self._stream.flush()

    def _is_ours(self, path):
        """Whether a file begins as an output of this or an earlier version does."""
        if path.suffix.lower() == ".parquet":
            from clicv2_keras.deployment.scoring.parquet import holds_rows

            return holds_rows(path)
        with open(path, "rb") as stream:
            line = stream.readline(2**16)
        return line.startswith(Csv().header.strip()) if isinstance(self._format, Csv) else JsonLines.seems_row(line)

    def _begins_as_ours(self):
        return self._has_only_a_part_of_the_header() or self._is_ours(self._rows)

    def _has_only_a_part_of_the_header(self):
        with open(self._rows, "rb") as stream:
            start = stream.read(len(self._format.header) + 1)
        return len(start) < len(self._format.header) and self._format.header.startswith(start)
