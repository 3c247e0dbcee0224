"""The pictures in an input of a corpus: a file, a member of a tar shard, a row of Parquet."""

import tarfile
from typing import NamedTuple

from clicv2_keras.deployment.scoring.corpus_inputs import filesystem, has_scheme, one_line
from clicv2_keras.utils.fetch import fetch, is_url
from clicv2_keras.utils.find_images import ENDINGS
from clicv2_keras.utils.images import UnreadableImage, is_image
from clicv2_keras.utils.text import unicode_name

# Of one encoded picture.
MAX_BYTES = 256 * 2**20
TOO_LARGE = f"its file is larger than {MAX_BYTES >> 20} MB"
STORES = ("s3://", "s3a://", "gs://", "gcs://", "az://", "abfs://", "abfss://", "hdfs://", "oss://")
# Names that a column of pictures has, the first found counts: bytes, a Hugging Face `image`, WebDataset's; then paths.
COLUMNS = ("bytes", "image", "image_bytes", "jpg", "png", "webp", "content", "path", "file", "image_path", "url")
# Rows of a Parquet file in memory at a time.
BATCH = 16
# Of a tar shard: the headers that hold long names and the like, which `tarfile` reads whole, and what one may take.
HEADERS, MAX_HEADER = b"LKxgX", 2**20
# Zeros behind the last member: a tape's block at most.
MAX_PADDING = 2**18


class Member(NamedTuple):
    """A picture: what its row is called, its key in a shard or None, and its path or encoded bytes, or an error."""

    file: str
    key: str | None = None
    source: str | bytes | None = None
    error: str | None = None


class _Entry(tarfile.TarInfo):
    """A header of a shard: one that is broken is an error, where `tarfile` takes it for the shard's end."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            entry = super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.ReadError(str(error)) from None
        if entry.type in HEADERS and not 0 <= entry.size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {entry.size:,} bytes")
        return entry


def members(found, column=None):
    """Yield a `Member` for each picture of an `Input`; what breaks a shard is told by one without a key, the last.

    Args:
        column: of Parquet, that of bytes or paths; found by its name by default.
    """
    if found.error:
        yield Member(found.file, error=found.error)
    elif not found.is_shard:
        try:
            read = fetch if is_url(found.file) else _content if has_scheme(found.file) else str
            yield Member(found.file, source=read(found.file))
        except Exception as error:  # whatever an object store raises
            yield Member(found.file, error=one_line(error))
    else:
        try:
            yield from _of_tar(found) if found.group < 0 else _of_parquet(found, column)
        except Exception as error:  # whatever a broken shard leads its readers to
            yield Member(found.file, error=f"this shard breaks off: {one_line(error)}")


def _content(url):
    files, path = filesystem(url)
    with files.open(path, "rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnreadableImage(TOO_LARGE)
    return data


def _of_tar(found):
    files, path = filesystem(found.file)
    keys = set()
    with files.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Entry) as archive:
        for entry in archive:
            # Else the list of all that was seen would grow.
            archive.members.clear()
            name, seems_image = f"{found.file}/{entry.name}", entry.name.lower().endswith(ENDINGS)
            error = None
            if entry.islnk() or entry.issym():
                error = f"is a link to {entry.linkname}; make the shard with tar --dereference --hard-dereference"
            elif entry.size > MAX_BYTES:
                error = TOO_LARGE
            # A name may come again, in what was appended, or once it is Unicode; its key may not.
            plain = unicode_name(entry.name)
            key = f"{plain}@{entry.offset}" if plain in keys else plain
            keys.add(plain)
            if error and seems_image:
                yield Member(name, key, error=error)
            if error or not entry.isreg():
                continue
            data = archive.extractfile(entry).read()
            if seems_image or is_image(data[:16]):
                yield Member(name, key, data)
        _check_end(archive.fileobj)


def _check_end(stream):
    """See that behind the zeros at which `tarfile` ends there is nothing: else a hole in the shard would pass for it.

    Raises:
        tarfile.ReadError: where there is.
    """
    padding = 0
    while data := stream.read(2**16):
        padding += len(data)
        if data.strip(b"\0") or padding > MAX_PADDING:
            raise tarfile.ReadError("its end comes before what it holds; is it damaged, or two shards in one file?")


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
    except Exception as error:  # whatever an object store raises
        return Member(file, key, error=one_line(error))
