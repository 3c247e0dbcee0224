"""What INPUT stands for where there are millions: files, tar shards and Parquet, here or in an object store."""

import glob
import os
from typing import NamedTuple

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import is_url
from clicv2_keras.utils.find_images import ENDINGS, find_images, seems_image

SHARDS = (".tar", ".tar.gz", ".tgz")
PARQUET = (".parquet",)


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
        UserError: where there is none for such URLs.
    """
    import fsspec

    try:
        return fsspec.url_to_fs(os.fspath(name))
    except (ValueError, ImportError) as error:
        raise UserError(f"{name}: {' '.join(str(error).split())}") from None


def find_inputs(names):
    """Yield an `Input` for each file that the names stand for; of a Parquet file one for each row group.

    Args:
        names: files, folders (all images, tar shards and Parquet files below), globs, URLs of these, and `-` for a list
            of images on standard input.

    Raises:
        UserError: where they stand for nothing at all, or a URL cannot be listed.
    """
    nothing = True
    for name in names:
        for found in _remote(name) if has_scheme(name) else _local(os.path.expanduser(os.fspath(name))):
            nothing = False
            yield from _row_groups(found) if found.file.lower().endswith(PARQUET) and not found.error else (found,)
    if nothing:
        raise UserError("INPUT: no image is named; give images, folders, globs, tar shards, Parquet files or URLs")


def _local(name):
    if name == "-":
        for found in find_images("-"):
            yield _with_version(found.file, found.error)
    elif os.path.isdir(name):
        shards = sorted(_shards_below(name))
        for found in find_images(name):
            # A folder of shards alone is not an empty one.
            if not (found.error and found.file == name and shards):
                yield _with_version(found.file, found.error)
        yield from map(_with_version, shards)
    elif glob.has_magic(name) and not os.path.lexists(name):
        files = (file for file in sorted(glob.glob(name, recursive=True)) if not os.path.isdir(file))
        found = None
        for file in files:
            if _is_shard(file) or seems_image(file):
                found = _with_version(file)
                yield found
        if found is None:
            yield Input(name, error="no image matches")
    else:
        yield _with_version(name)


def _shards_below(root):
    for folder, _, names in os.walk(root):
        yield from (os.path.join(folder, name) for name in names if _is_shard(name))


def _is_shard(name):
    return name.lower().endswith(SHARDS + PARQUET)


def _with_version(file, error=None):
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        # Decoding says what is wrong, in the words of the local engine.
        return Input(file, error=error or ("no such file" if _is_shard(file) else None))
    return Input(file, f"{status.st_size}-{status.st_mtime_ns}", error=error)


def _remote(name):
    if is_url(name):
        raise UserError(f"{name}: --engine ray takes object stores, such as s3://; leave it out for what is on the web")
    files, path = filesystem(name)
    try:
        if glob.has_magic(path):
            found = files.glob(path, detail=True)
        elif files.isdir(path):
            found = files.find(path, detail=True)
        else:
            found = {path: files.info(path)}
    except FileNotFoundError:
        yield Input(name, error="no such file")
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: cannot be listed: {' '.join(str(error).split())[:200]}") from None
    for path, info in sorted(found.items()):
        if info["type"] == "file" and path.lower().endswith((*ENDINGS, *SHARDS, *PARQUET)):
            version = info.get("ETag") or f"{info.get('size')}-{info.get('LastModified') or info.get('mtime')}"
            yield Input(files.unstrip_protocol(path), version.strip('"'))


def _row_groups(found):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        files, path = filesystem(found.file)
        with files.open(path, "rb") as stream:
            groups = pq.ParquetFile(stream).num_row_groups
    except (OSError, pa.ArrowException) as error:
        yield found._replace(error=one_line(error))
        return
    yield from (found._replace(group=group) for group in range(groups))


def one_line(error):
    """What an error of the system or of Arrow says, in a line."""
    reason = getattr(error, "strerror", None) or str(error)
    return " ".join(reason.split())[:300] or type(error).__name__
