import contextlib
import os
import shutil
import zipfile

import numpy as np

from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.errors import UserError


def unfinished_embeddings(output):
    """Where those of the `Path` of an output stand until all are there."""
    return output.with_name(f"{output.name}.embeddings")


class EmbeddingsFile:
    """What a model sees in each image, beside the rows of an output: float32 (rows, D), NaN where a row has an error.

    Until all are there they stand one behind the other in `OUTPUT.embeddings`, so that a stopped run can go on; then in
    the Parquet file itself, or as `embedding` in an `.npz` file of the output's name: line i of the table is row i.

    Args:
        output: path of the rows, as of `OutputFile`.
        width: D.
    """

    def __init__(self, output, width):
        self.width = width
        self._begun = unfinished_embeddings(output)
        self._whole = None if output.suffix.lower() == ".parquet" else output.with_suffix(".npz")
        self._stream = None

    def start(self, force):
        """Begin anew.

        Raises:
            UserError: where an earlier file is there and `force` is False.
        """
        if self._whole and self._whole.exists() and not force:
            raise UserError(f"--embeddings: {self._whole} exists; --resume goes on with it, --force begins anew")
        self._begun.unlink(missing_ok=True)

    def resume(self, rows):
        """Go on behind the first `rows`.

        Raises:
            UserError: where fewer than these are there.
        """
        if not self._begun.exists() and self._whole and self._whole.exists():
            self._take_apart()
        there = self._begun.stat().st_size // (4 * self.width) if self._begun.exists() else 0
        if there < rows:
            raise UserError(f"--resume: was begun without --embeddings: {self._begun} has {there} of {rows} rows")
        self.close()
        if self._begun.exists():
            os.truncate(self._begun, 4 * self.width * rows)

    def write(self, embedding):
        """Add a row: (D,), or None."""
        if self._stream is None:
            self._stream = open(self._begun, "ab")
        row = np.full(self.width, np.nan, "<f4") if embedding is None else np.asarray(embedding, "<f4")
        self._stream.write(row.tobytes())
        self._stream.flush()

    def read(self, first, count):
        """Rows, float32 (count, D)."""
        size = 4 * self.width
        with open(self._begun, "rb") as stream:
            stream.seek(first * size)
            return np.frombuffer(stream.read(count * size), "<f4").reshape(count, self.width)

    def finish(self):
        """All rows are written: the `.npz` file, if that is where they go, takes their place."""
        self.close()
        if self._whole:
            rows = self._begun.stat().st_size // (4 * self.width)
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, self.width)}
            with (
                atomic_write(self._whole) as unfinished,
                zipfile.ZipFile(unfinished, "w") as archive,
                archive.open("embedding.npy", "w", force_zip64=True) as target,
                open(self._begun, "rb") as source,
            ):
                np.lib.format.write_array_header_1_0(target, header)
                shutil.copyfileobj(source, target)
        self._begun.unlink(missing_ok=True)

    def close(self, remove=False):
        if self._stream:
            self._stream.close()
            self._stream = None
        if remove:
            self._begun.unlink(missing_ok=True)

    def _take_apart(self):
        """The way back from the `.npz` file."""
        with contextlib.suppress(Exception):  # whatever a foreign archive leads to: nothing is there then
            with (
                atomic_write(self._begun) as unfinished,
                zipfile.ZipFile(self._whole) as archive,
                archive.open("embedding.npy") as source,
                open(unfinished, "wb") as target,
            ):
                np.lib.format.read_magic(source)
                shape, _, dtype = np.lib.format.read_array_header_1_0(source)
                if (len(shape), shape[-1], dtype) != (2, self.width, np.dtype("<f4")):
                    raise ValueError("other embeddings")
                shutil.copyfileobj(source, target)
