"""What INPUT stands for where there are millions: files, tar shards and Parquet, here or in an object store."""

import contextlib
import glob
import itertools
import os
import sys
from typing import NamedTuple

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import is_url
from clicv2_keras.utils.find_images import ENDINGS, expand, names_by_line, seems_image

SHARDS = (".tar", ".tar.gz", ".tgz")
PARQUET = (".parquet",)
# What counts in a folder or glob of an object store, of which no first bytes are read.
REMOTE = (*ENDINGS, *SHARDS, *PARQUET)
# In the folder of a data set of scores. Such a folder is no input: its Parquet files name pictures in a column `file`.
SETTINGS = "_settings.json"


class Input(NamedTuple):
    """A file of the corpus, or a part of it that is worked on at once.

    Attributes:
        file: as it was named; for a folder, folder/relative path.
        version: size and modification time, or an object's ETag: another means another content. Empty where there is
            no file.
        group: of Parquet the row group, else -1.
        error: why there is nothing of this name, or None.
    """

    file: str
    version: str = ""
    group: int = -1
    error: str | None = None

    @property
    def is_shard(self):
        """Whether it holds many pictures."""
        return self.file.lower().endswith(SHARDS + PARQUET)


def has_scheme(name):
    """Whether a name is a URL of any kind, of an object store for example."""
    return "://" in os.fspath(name)


def filesystem(name):
    """The fsspec file system of a path or URL, and the path in it.

    Raises:
        UserError: where there is none for such URLs, or they lead to the web.
    """
    import fsspec

    # A name such as simplecache::https://… leads there too, by a reader without bounds.
    if any(map(is_url, os.fspath(name).split("::"))):
        raise UserError(
            f"{name}: is on the web, and only object stores are read here, such as s3://; clicv2-keras score without "
            "--engine ray fetches pictures"
        )
    if not has_scheme(name):  # else a file's name with `::` in it would be taken for a chain of readers
        return fsspec.filesystem("file"), os.path.abspath(name)
    with told(name):
        return fsspec.url_to_fs(os.fspath(name))


def find_inputs(names, column=None):
    """An iterator of an `Input` for each file that the names stand for; of a Parquet file one for each row group.

    Args:
        names: one or several: files, folders (all images, tar shards and Parquet files below), globs, URLs of these,
            and `-` for a list of all these on standard input, one a line.
        column: that of the pictures in Parquet files, where it is told and not found by its name.

    Raises:
        UserError: at once where a URL is of no object store; while iterating where one cannot be listed, nothing at
            all is named, or a column is told and no file has columns.
    """
    names = [names] if isinstance(names, str | os.PathLike) else names
    names = [os.fspath(name) for name in names]
    for name in filter(has_scheme, names):
        # What was listed earlier in this process may have changed.
        filesystem(name)[0].invalidate_cache()
    return _found(names, column)


def _found(names, column):
    nothing, tables = True, False
    named = (names_by_line(sys.stdin.buffer) if name == "-" else [name] for name in names)
    for name in itertools.chain.from_iterable(named):
        for found in _remote(name) if has_scheme(name) else _local(name):
            table = found.file.lower().endswith(PARQUET)
            tables = tables or table
            for part in _row_groups(found) if table and not found.error else (found,):
                nothing = False
                yield part
    if nothing:
        raise UserError("INPUT: no image is named; give images, folders, globs, tar shards, Parquet files or URLs")
    if column is not None and not tables:
        raise UserError(
            f"--column {column}: is of Parquet inputs, and there is no Parquet file among these; leave it out"
        )


def _is_shard(name):
    return name.lower().endswith(SHARDS + PARQUET)


def _shards_of(file):
    """The tar shards whose metadata a Parquet file would be, as img2dataset writes it beside each."""
    stem = file[: -len(PARQUET[0])]
    return [stem + ending for ending in SHARDS] if file.lower().endswith(PARQUET) else []


def _is_wanted(file):
    if _is_shard(file):
        beside = (os.path.join(os.path.dirname(file), SETTINGS), *_shards_of(file))
        return not any(map(os.path.exists, beside))
    return seems_image(file)


def _with_version(file, error=None):
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        # Decoding says what is wrong, in the words of the local engine.
        return Input(file, error=error or ("no such file" if _is_shard(file) else None))
    return Input(file, f"{status.st_size}-{status.st_mtime_ns}", error=error)


def _local(name):
    for found in expand(name, _is_wanted):
        yield _with_version(found.file, found.error)


def _remote(name):
    files, path = filesystem(name)
    nothing, scored = None, set()
    with told(f"{name}: cannot be listed"):
        try:
            if files.isdir(path):
                found, nothing = files.find(path, detail=True), "no image in this folder"
            elif glob.has_magic(path) and not files.exists(path):
                found, nothing = files.glob(path, detail=True), "no image matches"
                # It need not match the file that tells a folder of scores.
                folders = {path.rpartition("/")[0] for path in found if path.lower().endswith(REMOTE)}
                scored = {folder for folder in folders if files.exists(f"{folder}/{SETTINGS}")}
            else:
                found = {path: files.info(path)}
        except FileNotFoundError:
            found, nothing = {}, "no such file"
    if nothing:
        scored |= {path.rpartition("/")[0] for path in found if path.endswith(f"/{SETTINGS}")}
        scores = tuple(f"{folder}/" for folder in scored)
        found = {
            path: info
            for path, info in found.items()
            if info["type"] == "file"
            and path.lower().endswith(REMOTE)
            and not path.startswith(scores)
            and not any(shard in found for shard in _shards_of(path))
        }
    if not found:
        yield Input(name, error=nothing)
    for path, info in sorted(found.items()):
        yield Input(files.unstrip_protocol(path), _version_of(info))


def version_now(file):
    """The `version` that an `Input` of this file would have now; empty where it is gone."""
    if not has_scheme(file):
        return _with_version(file).version
    if is_url(file):
        return ""
    try:
        files, path = filesystem(file)
        files.invalidate_cache(path)
        return _version_of(files.info(path))
    except Exception:  # whatever an object store raises
        return ""


def _version_of(info):
    """By what the store says of an object: each has words of its own."""
    if tag := info.get("ETag") or info.get("etag"):
        return tag.strip('"')
    times = ("LastModified", "last_modified", "mtime", "updated")
    return f"{info.get('size')}-{next((info[name] for name in times if info.get(name)), None)}"


def _row_groups(found):
    import pyarrow.parquet as pq

    try:
        files, path = filesystem(found.file)
        with files.open(path, "rb") as stream:
            groups = pq.ParquetFile(stream).num_row_groups
    except Exception as error:  # whatever a broken file leads Arrow to, and an object store raises
        yield found._replace(error=one_line(error))
        return
    yield from (found._replace(group=group) for group in range(groups))


@contextlib.contextmanager
def told(about):
    """Context in which whatever an object store or Arrow raises, of classes of their own, is told in a line.

    Raises:
        UserError: what is wrong, behind `about`.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{about}: {one_line(error)}") from None


def one_line(error):
    """What an error of the system or of Arrow says, in a line."""
    reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
    # Arrow begins with what it was about.
    return reason.rpartition("file?: ")[2][:400] or type(error).__name__
