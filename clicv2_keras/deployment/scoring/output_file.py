import importlib.util
import os
from pathlib import Path

from clicv2_keras.deployment.scoring.rows import Csv, JsonLines, read_rows
from clicv2_keras.utils.errors import UserError

FORMATS = {".csv": Csv, ".jsonl": JsonLines, ".ndjson": JsonLines, ".parquet": JsonLines}


class OutputFile:
    """A file of rows that a stopped run can go on with.

    CSV and JSON lines grow in place. Parquet cannot: its rows stand as JSON lines in `PATH.partial` until all are
    there.

    Args:
        path: the file; its ending says the format.

    Raises:
        UserError: where the ending is another, or Parquet is asked for and pyarrow is missing.
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
        ending = self.path.suffix.lower()
        if ending not in FORMATS:
            raise UserError(f"--output {path}: its name must end in .csv, .jsonl or .parquet")
        self._is_parquet = ending == ".parquet"
        if self._is_parquet and importlib.util.find_spec("pyarrow") is None:
            raise UserError(f"--output {path}: Parquet needs pyarrow; pip install 'clicv2-keras[parquet]'")
        self._format = FORMATS[ending]
        self._rows = self.path.with_name(f"{self.path.name}.partial") if self._is_parquet else self.path
        self._stream = None

    def start(self):
        """Begin anew, in place of what the file held."""
        self._stream = open(self._rows, "wb")
        self._put(self._format.header)

    def resume(self, files):
        """Yield the rows that are there, and take from the iterator `files` what they are about; then go on behind
        them.

        Raises:
            UserError: where the file is none of ours, or about other images.
        """
        if self._is_parquet and not self._rows.exists() and self.path.exists():
            from clicv2_keras.deployment.scoring.parquet import to_json_lines

            try:
                to_json_lines(self.path, self._rows)
            except ValueError:
                raise _foreign(self.path) from None
        if not self._rows.exists() or self._has_only_a_part_of_the_header():
            self.start()
            return
        self._stream = open(self._rows, "r+b")
        header = self._format.header
        if self._stream.read(len(header)) != header:
            raise _foreign(self._rows)
        end = len(header)
        try:
            for number, (row, row_end) in enumerate(read_rows(self._stream, self._format), 1):
                found = next(files, None)
                if found is None or found.file != row.file:
                    there = "there is none" if found is None else f"it is {found.file}"
                    raise UserError(
                        f"--resume: image {number} in {self._rows} is {row.file}, but now {there}; "
                        "give the same PATHs, or leave --resume out to begin anew"
                    )
                yield row
                end = row_end
        except ValueError:
            raise _foreign(self._rows) from None
        self._stream.truncate(end)
        self._stream.seek(end)

    def write(self, row):
        self._put(self._format.encode(row))

    def finish(self):
        """All rows are written."""
        self.close()
        if self._is_parquet:
            from clicv2_keras.deployment.scoring.parquet import from_json_lines

            from_json_lines(self._rows, self.path)
            os.unlink(self._rows)

    def close(self):
        if self._stream:
            self._stream.close()

    def _put(self, data):
        self._stream.write(data)
        # A row that was reported is there, whatever happens next.
        self._stream.flush()

    def _has_only_a_part_of_the_header(self):
        with open(self._rows, "rb") as stream:
            start = stream.read(len(self._format.header) + 1)
        return len(start) < len(self._format.header) and self._format.header.startswith(start)


def _foreign(path):
    return UserError(f"--resume: {path} is no output of clicv2-keras score; name another file with --output")
