"""What INPUT stands for where there are millions: files, tar shards and Parquet, here or in an object store."""

import glob
import os
import tarfile
from typing import NamedTuple

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import is_url
from clicv2_keras.utils.find_images import ENDINGS, find_images, seems_image
from clicv2_keras.utils.images import UnreadableImage, is_image

SHARDS = (".tar", ".tar.gz", ".tgz")
PARQUET = (".parquet",)
# Of one encoded picture.
MAX_BYTES = 256 * 2**20
TOO_LARGE = f"its file is larger than {MAX_BYTES >> 20} MB"
STORES = ("s3://", "s3a://", "gs://", "gcs://", "az://", "abfs://", "abfss://", "hdfs://", "oss://")
# Names that a column of pictures has, the first found counts: bytes, a Hugging Face `image`, WebDataset's; then paths.
COLUMNS = ("bytes", "image", "image_bytes", "jpg", "png", "webp", "content", "path", "file", "image_path", "url")
# Rows of a Parquet file in memory at a time.
BATCH = 16


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


class Member(NamedTuple):
    """A picture: what its row is called, its key in a shard or None, and its path or encoded bytes, or an error."""

    file: str
    key: str | None = None
    source: str | bytes | None = None
    error: str | None = None


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
        yield found._replace(error=_one_line(error))
        return
    yield from (found._replace(group=group) for group in range(groups))


def members(found, column=None):
    """Yield a `Member` for each picture of an `Input`; what breaks a shard is told by one without a key, the last.

    Args:
        column: of Parquet, that of bytes or paths; found by its name by default.
    """
    if found.error:
        yield Member(found.file, error=found.error)
    elif not found.is_shard:
        try:
            yield Member(found.file, source=_content(found.file) if has_scheme(found.file) else found.file)
        except (OSError, UnreadableImage) as error:
            yield Member(found.file, error=_one_line(error))
    else:
        try:
            yield from _of_tar(found) if found.group < 0 else _of_parquet(found, column)
        except Exception as error:  # whatever a broken shard leads its readers to
            yield Member(found.file, error=f"this shard breaks off: {_one_line(error)}")


def _content(url):
    files, path = filesystem(url)
    with files.open(path, "rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnreadableImage(TOO_LARGE)
    return data


def _of_tar(found):
    files, path = filesystem(found.file)
    with files.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
        for entry in archive:
            # Else the list of all that was seen would grow.
            archive.members.clear()
            if not entry.isreg():
                continue
            name = f"{found.file}/{entry.name}"
            if entry.size > MAX_BYTES:
                if entry.name.lower().endswith(ENDINGS):
                    yield Member(name, entry.name, error=TOO_LARGE)
                continue
            data = archive.extractfile(entry).read()
            if entry.name.lower().endswith(ENDINGS) or is_image(data[:16]):
                yield Member(name, entry.name, data)


def _of_parquet(found, column):
    import pyarrow.parquet as pq

    files, path = filesystem(found.file)
    with files.open(path, "rb") as stream:
        table = pq.ParquetFile(stream)
        column = column_of(table.schema_arrow.names, column)
        first = sum(table.metadata.row_group(group).num_rows for group in range(found.group))
        batches = table.iter_batches(BATCH, row_groups=[found.group], columns=[column])
        values = (value for batch in batches for value in batch.column(0))
        for number, value in enumerate(values, first):
            yield member_of(f"{found.file}/{number}", str(number), value.as_py())


def column_of(names, column=None):
    """Which of a table's columns holds the pictures.

    Raises:
        ValueError: where none is called so.
    """
    wanted = [column] if column else COLUMNS
    for name in wanted:
        if name in names:
            return name
    raise ValueError(f"no column {', '.join(wanted)}; there are {', '.join(names)}")


def member_of(file, key, value):
    """The `Member` of a table's cell: encoded bytes, a path, a URL of an object store, or a dict of bytes and path.

    What a table says comes from outside: of URLs only those of `STORES` are opened.
    """
    if isinstance(value, dict):  # Hugging Face's
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        if len(value) > MAX_BYTES:
            return Member(file, key, error=TOO_LARGE)
        return Member(file, key, value)
    if not isinstance(value, str):
        return Member(file, key, error="no image in this row")
    if not has_scheme(value):
        return Member(file, key, value)
    if not value.startswith(STORES):
        return Member(file, key, error="its URL is of no object store; make shards of what is on the web first")
    try:
        return Member(file, key, _content(value))
    except (OSError, UnreadableImage, UserError) as error:
        return Member(file, key, error=_one_line(error))


def _one_line(error):
    reason = getattr(error, "strerror", None) or str(error)
    return " ".join(reason.split())[:300] or type(error).__name__
