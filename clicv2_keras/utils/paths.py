"""Paths as users name them: where they lead, whether something can be written there, and who works there now."""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
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
    # Not by `Path`, which raises where a name begins with `~` and is no user's.
    return Path(os.path.expanduser(path))


def check_writable(path: StrPath, option: str = "--output") -> None:
    """Find out before the work whether a file or a folder can be made at `path`.

    Args:
        option: what named it, for the message.

    Raises:
        UserError: where it cannot.
    """
    check_local(path, option)
    path = user_path(path)
    try:
        folder = path if path.is_dir() else path.parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
        # Before it is whole a file has a longer name, see `atomic_files`.
        with contextlib.suppress(FileNotFoundError):
            os.lstat(folder / f"unfinished_{path.name}")
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written: {error.strerror}; name another place") from None


def check_writable_folder(path: StrPath, option: str = "--output") -> None:
    """As `check_writable`, of what is to be a folder.

    Raises:
        UserError: where it is a file, or cannot be written.
    """
    check_writable(path, option)
    if user_path(path).exists() and not user_path(path).is_dir():
        raise UserError(f"{option} {path}: is a file; name a folder")


def check_replaceable(path: StrPath, is_ours: Callable[[Path], bool], verb: str) -> None:
    """Find out before the work whether what is at `path`, if anything, may be replaced: an empty file, or one of ours.

    Args:
        is_ours: whether an earlier version or this one wrote the file of a path.
        verb: what is to write there, for the message.

    Raises:
        UserError: where it is anything else.
    """
    path = user_path(path)
    if path.exists() and not (path.is_file() and (path.stat().st_size == 0 or is_ours(path))):
        raise UserError(f"--output {path}: is no output of clicv2-keras {verb}, and is kept; name another")


def check_local(path: StrPath, option: str) -> None:
    """Say that nothing is written to a URL: as a path it would be folders here, called `s3:` for example.

    Raises:
        UserError: where it is one, though `Path` has taken a slash of it.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path)):
        raise UserError(f"{option} {path}: is a URL; name a place on this machine, and copy what is written there")


def lock(file, place: StrPath) -> None:
    """Keep others out of an opened file until it is closed, or until this process is gone, however it ends.

    Args:
        place: what the file stands for, for the message.

    Raises:
        UserError: where another process works there; the file is closed then.
    """
    if not fcntl:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"{place}: another process is at work there; wait for it, or stop it") from None
    except OSError:
        pass  # not every file system can


class FolderLock:
    """Keeps others out of a folder until `release`, or the end of a context, or until this process is gone, however it
    ends.

    Args:
        folder: it exists.

    Raises:
        UserError: where another process works there.
    """

    NAME = ".lock"

    def __init__(self, folder):
        path = Path(folder, self.NAME)
        while True:
            self._file = open(path, "a+")
            lock(self._file, folder)
            # Whoever held it may have removed it in between: then it keeps nobody out.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._file.fileno()), os.stat(path)):
                    return
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.release()

    def release(self):
        with contextlib.suppress(OSError):
            # Somebody else's may be called so too; ours is empty.
            if not os.fstat(self._file.fileno()).st_size:
                os.unlink(self._file.name)
        self._file.close()
