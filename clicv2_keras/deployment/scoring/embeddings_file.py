import contextlib
import os
import shutil
import zipfile

import numpy as np

from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.errors import UserError


def unfinished_embeddings(output):
    """Where those of the `Path` of an output stand until all are there."""
    # Not `with_name`, which raises of what is no name: `OutputFile` says that in a line.
    return output.parent / f"{output.name}.embeddings"


def whole_embeddings(output):
    """Where all stand, beside an output other than Parquet; None where there is no such file, or it is of another."""
    whole = _whole(output)
    return whole if whole and _is_of(whole, output) else None


def remove_embeddings(output):
    """Remove what belongs to the rows of an output, which are to be others."""
    unfinished_embeddings(output).unlink(missing_ok=True)
    if whole := whole_embeddings(output):
        whole.unlink()


class EmbeddingsFile:
    """What a model sees in each image, beside the rows of an output: float32 (rows, D), NaN where a row has no score.

    Until all are there they stand one behind the other in `OUTPUT.embeddings`, so that a stopped run can go on; then in
    the Parquet file itself, or as `embedding` in an `.npz` file of the output's name: line i of the table is row i.

    Args:
        output: path of the rows, as of `OutputFile`.
        width: D.

    Raises:
        UserError: where somebody else's file, or that of another output, has the name of the `.npz` file.
    """

    def __init__(self, output, width):
        self.width = width
        self._output = output
        self._begun = unfinished_embeddings(output)
        self._whole = _whole(output)
        self._stream = None
        if self._whole and self._whole.exists() and not _is_of(self._whole, output):
            raise UserError(
                f"--embeddings: {self._whole}: is none of clicv2-keras score for {output.name}, and is kept; name "
                "another --output"
            )

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
                archive.comment = os.fsencode(self._output.name)
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
        """The way back from the `.npz` file; nothing is there then of one that is broken or another model's."""
        with (
            contextlib.suppress(zipfile.BadZipFile),  # its values are not those that were written
            zipfile.ZipFile(self._whole) as archive,
            archive.open("embedding.npy") as source,
        ):
            if _read_header(source)[0][1] == self.width:
                with atomic_write(self._begun) as unfinished, open(unfinished, "wb") as target:
                    shutil.copyfileobj(source, target)


def _whole(output):
    return None if output.suffix.lower() == ".parquet" else output.parent / f"{output.stem}.npz"


def _is_of(path, output):
    """Whether a file is an archive as `finish` writes it for an output, with nothing else in it."""
    with contextlib.suppress(Exception):  # whatever a foreign archive leads to
        with zipfile.ZipFile(path) as archive, archive.open("embedding.npy") as source:
            shape, dtype = _read_header(source)
            # Outputs that differ in their ending share the name; one of the user's has no such comment.
            whose = archive.comment == os.fsencode(output.name)
            return whose and (archive.namelist(), len(shape), dtype) == (["embedding.npy"], 2, np.dtype("<f4"))
    return False


def _read_header(source):
    """Shape and type of an array; `source` is then at its values."""
    np.lib.format.read_magic(source)
    shape, _, dtype = np.lib.format.read_array_header_1_0(source)
    return shape, dtype
