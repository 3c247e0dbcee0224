"""Files that appear whole or not at all, even where the machine dies, and faults that name their file."""

import contextlib
import hashlib
import os
from pathlib import Path

from clicv2_keras.utils.text import csv_line


@contextlib.contextmanager
def atomic_write(path):
    """Context that gives the path to write to; in the end what lies there is on the disk and takes the name `path`.

    Raises:
        OSError: naming `path`, which is then what it was before.
    """
    path = Path(path)
    unfinished = path.with_name(f"unfinished_{path.name}")
    with naming(path):
        try:
            yield unfinished
            _to_disk(unfinished)
            os.replace(unfinished, path)
            with contextlib.suppress(OSError):  # not every file system takes it of a folder
                _to_disk(path.parent)
        except BaseException:
            # Nothing is left over; a disk that is full needs the room.
            unfinished.unlink(missing_ok=True)
            raise


def write_text(path, text):
    """Write a text file, in UTF-8 and with the line ends as they are; see `atomic_write`.

    Names of files that are no Unicode keep their bytes.
    """
    with atomic_write(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def write_csv(path, columns, rows):
    """Write a table: the names of its columns, and rows of as many values each, None as an empty cell."""
    write_text(path, "".join(map(csv_line, (columns, *rows))))


def save_model(model, path):
    """Save a Keras model to a `.keras` file in a folder that need not exist yet; see `atomic_write`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as unfinished:
        model.save(unfinished)


def sha256(path):
    """Checksum of a file, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def naming(path):
    """Context in which every OSError names `path`: that of a full disk, raised by a write, knows no file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _to_disk(path):
    """Wait until a file, or a folder's list of names, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
