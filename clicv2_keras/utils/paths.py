"""Paths as users name them: where they lead, whether something can be written there, and who works there now."""

import contextlib
import os
import re
import tempfile
from pathlib import Path

from clicv2_keras.utils.errors import UserError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


# A path as callers give it.
StrPath = str | os.PathLike[str]


def user_path(path: StrPath) -> Path:
    """The `Path` of what a user named, in a recipe, an option or an argument: `~` is the home folder."""
    return Path(path).expanduser()


def check_writable(path: StrPath, option: str = "--output") -> None:
    """Find out before the work whether a file or a folder can be made at `path`.

    Args:
        option: what named it, for the message.

    Raises:
        UserError: where it cannot.
    """
    check_local(path, option)
    path = user_path(path)
    folder = path if path.is_dir() else path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written: {error.strerror}; name another place") from None


def check_writable_folder(path: StrPath, option: str = "--output") -> None:
    """As `check_writable`, of what is to be a folder.

    Raises:
        UserError: where it is a file, or cannot be written.
    """
    if user_path(path).exists() and not user_path(path).is_dir():
        raise UserError(f"{option} {path}: is a file; name a folder")
    check_writable(path, option)


def check_local(path: StrPath, option: str) -> None:
    """Say that nothing is written to a URL: as a path it would be folders here, called `s3:` for example.

    Raises:
        UserError: where it is one, though `Path` has taken a slash of it.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path)):
        raise UserError(f"{option} {path}: is a URL; name a place on this machine, and copy what is written there")


class FolderLock:
    """Keeps others out of a folder until `release`, or until this process is gone, however it ends.

    Args:
        folder: it exists.

    Raises:
        UserError: where another process works there.
    """

    def __init__(self, folder):
        self._file = open(Path(folder) / ".lock", "a+")
        if fcntl:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise UserError(f"{folder}: another process is at work there; wait for it, or stop it") from None
            except OSError:
                pass  # not every file system can

    def release(self):
        with contextlib.suppress(OSError):
            os.unlink(self._file.name)
        self._file.close()
