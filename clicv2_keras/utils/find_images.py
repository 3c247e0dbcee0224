"""What PATH stands for, for every verb: a file, a folder to the bottom, a glob, a URL, or `-` for a list on standard
input."""

import codecs
import glob
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import is_url
from clicv2_keras.utils.images import is_image
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.text import printable

# HEIC cannot be read: its owner learns that from a row with an error.
ENDINGS = tuple(".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .avif .heic .heif".split())

# A CSV reader takes cells of 2**17 letters.
LONGEST_NAME = 2**16
_SLASH = f"[{re.escape(os.sep + (os.altsep or ''))}]"
# `**` as a whole part of a path, several in a row as one.
_STARS = re.compile(rf"(?:^|(?<={_SLASH}))(?:\*\*(?:{_SLASH}+|\Z))+")


class Found(NamedTuple):
    """A file to be scored, as it was named; or why there is none of that name."""

    file: str
    error: str | None = None


def find_images(paths, leave_out=None):
    """Yield what `paths` stand for, in order: a folder's own files sorted, then those of the folders in it.

    A file that is named gets a `Found` whatever it is. In a folder or glob those count that are images by their name's
    ending or their first bytes.

    Args:
        paths: a path or an iterable of them; `-` reads paths from standard input, one a line, blank lines passed over.
        leave_out: a folder below one that is named whose files do not count, such as that of the overlays.

    Raises:
        UserError: where they stand for nothing at all.
    """
    leave_out = leave_out and os.path.realpath(leave_out)
    nothing = True
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        for name in names_by_line(sys.stdin.buffer) if path == "-" else [path]:
            for found in expand(name, leave_out=leave_out):
                nothing = False
                yield found
    if nothing:
        raise UserError("PATH: no image is named; give image files, folders, globs, or - and a list on standard input")


def names_by_line(stream):
    """Yield the names of a binary stream, one a line; blank lines and a byte order mark are passed over.

    Raises:
        UserError: where a name has more than 64 KiB, or the first a null byte: of a picture, or of a list that
            `names_ended_by_null` is for.
    """
    first = True
    while line := stream.readline(LONGEST_NAME):
        if len(line) == LONGEST_NAME or (first and b"\0" in line):
            raise UserError(
                "PATH -: what is on standard input are no names, one a line; give --null where they end in null bytes"
            )
        name = os.fsdecode((line.removeprefix(codecs.BOM_UTF8) if first else line).rstrip(b"\r\n"))
        if name.strip():
            yield name
        first = False


def names_ended_by_null(stream):
    """Yield the names of a binary stream in which each ends in a null byte, as `find -print0` writes them.

    Raises:
        UserError: where a name has more than a megabyte: the list has other ends.
    """
    rest = b""
    while piece := stream.read1(2**16):
        *names, rest = (rest + piece).split(b"\0")
        yield from (os.fsdecode(name) for name in names if name)
        if len(rest) > LONGEST_NAME:
            raise UserError(
                "--null: the list on standard input has no null bytes between its names; leave the option out"
            )
    if rest:
        yield os.fsdecode(rest)


def seems_image(file):
    """Whether a file is an image by its name's ending or by its first bytes."""
    return os.fspath(file).lower().endswith(ENDINGS) or begins_like_image(file)


def begins_like_image(file):
    """Whether the first bytes of a file are those of a JPEG, PNG, WebP, BMP or GIF; False where it cannot be read."""
    try:
        # Never a pipe or a device: they may not end.
        if not Path(file).is_file():
            return False
        with open(file, "rb") as stream:
            return is_image(stream.read(16))
    except OSError:
        return False


def named_folders(images):
    """The folders among the paths that a caller named: one, or a list; none of an iterator, which is read once."""
    single = isinstance(images, str | os.PathLike)
    paths = [images] if single else images if isinstance(images, list | tuple) else ()
    return [path for path in map(user_path, paths) if path.is_dir()]


def expand(name, wanted=seems_image, leave_out=None):
    """Yield what one path stands for, see `find_images`; in a folder or glob those files count that are `wanted`.

    Args:
        leave_out: `realpath` of a folder whose files do not count, unless it is what the path names.
    """
    name = os.fspath(name)
    if is_url(name):
        yield Found(name)
        return
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        # No file can be called so, nor a row name it.
        yield Found(printable(name), "not a path")
        return
    if "\0" in name:
        yield Found(name, "not a path")
        return
    name = os.path.expanduser(name)
    if "://" in name and not os.path.lexists(name):
        yield Found(name, "object stores are read by clicv2-keras score --engine ray alone")
        return
    if os.path.isdir(name):
        files, nothing = files_below(name, wanted, leave_out), "no image in this folder"
    elif glob.has_magic(name) and not os.path.lexists(name):
        matches = (file for file in sorted(_matches(name)) if not os.path.isdir(file))
        if leave_out and not _is_below(_begin_of_glob(name), leave_out):
            matches = (file for file in matches if not _is_below(file, leave_out))
        files, nothing = (Found(file) for file in matches if wanted(file)), "no image matches"
    else:
        yield Found(name)
        return
    found = None
    for found in files:
        yield found
    if found is None:
        yield Found(name, nothing)


def _matches(name):
    """What a glob matches. `**` enters each folder once: links may go round in circles."""
    stars = _STARS.search(name)
    if not stars:
        return glob.glob(name)
    begin, rest = name[: stars.start()], name[stars.end() :] or "*"
    return {
        match
        for root in (glob.glob(begin) if begin else [""])
        for folder in _folders_below(root)
        for match in _matches(glob.escape(folder) + rest)
    }


def _folders_below(root):
    """Yield a folder, "" or with a slash behind it, and those below it that are not hidden, each once."""
    seen, ahead = set(), [root]
    while ahead:
        folder = ahead.pop()
        real = os.path.realpath(folder)
        if real not in seen:
            seen.add(real)
            yield folder
            ahead += sorted(glob.glob(f"{glob.escape(folder)}*/"), reverse=True)


def _begin_of_glob(name):
    """The folder that all matches lie below."""
    while glob.has_magic(name):
        name = os.path.dirname(name)
    return name


def _is_below(path, folder):
    real = os.path.realpath(path)
    return real == folder or real.startswith(os.path.join(folder, ""))


def files_below(root, wanted, leave_out=None):
    """Yield a `Found` for each file below a folder that is `wanted`, and for each folder there that cannot be read.

    Links are followed, but each folder is read once: they may go round in circles.
    """
    seen, unreadable = set(), []
    for folder, below, names in os.walk(root, followlinks=True, onerror=unreadable.append):
        real = os.path.realpath(folder)
        if real in seen or (real == leave_out and folder != root):
            below.clear()
            continue
        seen.add(real)
        below.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            if wanted(file):
                yield Found(file)
    for error in unreadable:
        yield Found(os.fspath(error.filename), f"this folder cannot be read: {error.strerror}")
