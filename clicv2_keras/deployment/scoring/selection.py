"""What is kept of a scored corpus: a list of names, or tar shards of the pictures and tiles themselves."""

import io
import itertools
import json
import os
import tarfile

import numpy as np
import pyarrow as pa

from clicv2_keras.deployment.scoring.corpus_inputs import Input, told, version_now
from clicv2_keras.deployment.scoring.corpus_members import members
from clicv2_keras.deployment.scoring.scored import open_scores
from clicv2_keras.deployment.scoring.tiles import split_tile
from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import ENDINGS
from clicv2_keras.utils.images import UnreadableImage, decode_image, ending_of
from clicv2_keras.utils.paths import check_writable_folder, user_path
from clicv2_keras.utils.text import printable, unicode_name

# Scores have six decimals: a count of each says exactly which share lies above which, in 8 MB.
STEPS = 1_000_000
# Pictures in a shard that is written.
SHARD = 1000
BINS = 20


class Selection:
    """Which rows of a file or data set of scores are kept.

    Args:
        scores: a `.csv`, `.jsonl` or `.parquet` file of `clicv2-keras score`, or the folder or URL of a data set.
        least, most: the score that is kept at least and at most.
        top_share: of all that have a score the share that is kept, the most complex; what ties with the last is too.

    Attributes:
        counts: int64 (1,000,001,), rows by score in millionths.
        failed: rows without a score.
        kept: rows that are kept.

    Raises:
        UserError: where `scores` is none of these, is broken, has no columns of that name, or scores outside [0, 1].
    """

    def __init__(self, scores, least=None, most=None, top_share=None):
        self.counts, self.failed = np.zeros(STEPS + 1, np.int64), 0
        with told(f"SCORES {scores}"):
            self._table, self._column = open_scores(scores)
            self._count()
        self._low = 0 if least is None else int(np.ceil(round(least * STEPS, 6)))
        self._high = STEPS if most is None else int(np.floor(round(most * STEPS, 6)))
        above = self.counts[::-1].cumsum()[::-1]
        if top_share is not None and above[0]:
            # The largest score that as many reach.
            wanted = max(1, round(top_share * int(above[0])))
            self._low = max(self._low, int(np.flatnonzero(above >= wanted)[-1]))
        self.kept = int(self.counts[self._low : self._high + 1].sum())

    def _count(self):
        for batch in self._table.to_batches(columns=["score"]):
            column = batch.column("score").cast(pa.float64())
            self.failed += column.null_count
            found = column.drop_null().to_numpy(zero_copy_only=False)
            if not np.all((found >= 0) & (found <= 1)):
                raise ValueError("there are scores outside of 0 to 1; was it written by clicv2-keras score?")
            self.counts += np.bincount(np.rint(found * STEPS).astype(np.int64), minlength=STEPS + 1)

    def rows(self):
        """Yield the kept rows, dicts of `file`, `score` and, of a data set, where they come from."""
        wanted = ("file", "score", "source", "version", "group", "key")
        for batch in self._table.to_batches(columns=[name for name in wanted if name in self._table.schema.names]):
            scores = batch.column("score").cast(pa.float64())
            batch = batch.set_column(batch.schema.get_field_index("score"), "score", scores)
            for row in batch.to_pylist():
                if row["score"] is not None and self._low <= round(row["score"] * STEPS) <= self._high:
                    if isinstance(row["file"], bytes):
                        row["file"] = row["file"].decode("utf-8", "surrogateescape")
                    if not isinstance(row["file"], str):
                        raise UserError(f"SCORES: a row names no file, but {row['file']!r:.40}; correct it")
                    yield row

    def histogram(self):
        """Yield lines: of each twentieth of the scale how many rows there are, and how many of them are kept."""
        kept = self.counts.copy()
        kept[: self._low] = kept[self._high + 1 :] = 0
        edges = np.arange(BINS) * STEPS // BINS
        there, stay = np.add.reduceat(self.counts, edges), np.add.reduceat(kept, edges)
        yield f"{'score':<5} {'':<40} {'images':>14} {'kept':>14}"
        for edge, count, left in zip(edges, there, stay, strict=True):
            full, part = (round(40 * number / max(there.max(), 1)) for number in (count, left))
            yield f"{edge / STEPS:<5.2f} {'█' * part + '░' * (full - part):<40} {count:>14,} {left:>14,}"

    def write_list(self, path, null=False):
        """Write the names of what is kept, one a line or, with `null`, each ended by a null byte; the file appears when
        it is whole.

        Raises:
            UserError: where a name is of several lines, and is not ended by a null byte.
        """
        path = user_path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished, open(unfinished, "wb") as stream:
            for row in self.rows():
                if not null and "\n" in row["file"]:
                    name = printable(row["file"])
                    raise UserError(f"--output {path}: {name} has a line break in its name; add --null")
                # In a list of names `#` begins a comment and `~` the home folder; blanks before a name are not its own.
                name = row["file"] if null or row["file"][:1] not in ("#", "~", " ", "\t") else f"./{row['file']}"
                stream.write(name.encode("utf-8", "surrogateescape") + (b"\0" if null else b"\n"))

    def write_shards(self, folder):
        """Write the kept pictures, and of tiles their pixels as PNG, into tar shards of 1,000 for WebDataset.

        Beside each picture stands its row, `.json`. Each shard appears when it is whole.

        Returns:
            How many were written, and a list of those that cannot be read any more, by name and with the reason.

        Raises:
            UserError: see `check_shards`.
        """
        check_shards(folder)
        folder = user_path(folder)
        os.makedirs(folder, exist_ok=True)
        written, lost = 0, []
        pictures = self._pictures(lost)
        for number in itertools.count():
            first = next(pictures, None)
            if first is None:
                return written, lost
            path = os.path.join(folder, f"{number:06}.tar")
            with atomic_write(path) as unfinished, tarfile.open(unfinished, "w") as archive:
                for row, ending, data in itertools.chain([first], itertools.islice(pictures, SHARD - 1)):
                    _add(archive, f"{written:09}{ending}", data)
                    _add(archive, f"{written:09}.json", json.dumps(row).encode())
                    written += 1

    def _pictures(self, lost):
        """Yield (row, ending, encoded bytes); a shard is read once where its rows follow each other, as they do."""

        def where(row):
            return row.get("source") or _tile_of(row)[0], row.get("group", -1)

        for (source, group), rows in itertools.groupby(self.rows(), key=where):
            by_key = {}
            for row in rows:
                by_key.setdefault(row.get("key"), []).append(row)
            then = next(iter(by_key.values()))[0].get("version")
            if then and (now := version_now(source)) != then:
                reason = "is another picture now" if now else "is not found by its name any more"
                lost.extend(f"{row['file']}: {reason}" for found in by_key.values() for row in found)
                continue
            for member in members(Input(source, group=group), self._column):
                key = member.key and unicode_name(member.key)
                if member.error is not None:
                    lost.extend(f"{row['file']}: {member.error}" for row in by_key.pop(key, ()))
                    continue
                found = by_key.pop(key, ())
                if found:
                    yield from _cut(found, member.source, lost)
            lost.extend(f"{row['file']}: cannot be read any more" for found in by_key.values() for row in found)


def check_shards(folder):
    """Find out before the work whether shards can be written to a folder.

    Raises:
        UserError: where it is there and not empty, no folder, or cannot be made.
    """
    check_writable_folder(folder, "--shards")
    folder = user_path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"--shards {folder}: is not empty; name another folder")


def _tile_of(row):
    """`split_tile` of a row's name, where the picture itself is not called so, a tile that was saved perhaps."""
    file, source, key = (row.get(name) for name in ("file", "source", "key"))
    name, box = split_tile(file)
    if box is None:
        return name, None
    is_own = file == (f"{source}/{key}" if key else source) if source else os.path.exists(file)
    return (file, None) if is_own else (name, box)


def _cut(rows, source, lost):
    """Yield (row, ending, bytes) of a picture, or of each of its tiles."""
    image = None
    for row in rows:
        name, box = _tile_of(row)
        try:
            if box is None:
                data = source
                if isinstance(source, str):
                    with open(source, "rb") as stream:
                        data = stream.read()
                yield row, _ending(name, data), data
            else:
                image = image or decode_image(source).image
                if box[2] > image.width or box[3] > image.height:
                    raise UnreadableImage("is smaller than it was")
                stream = io.BytesIO()
                image.crop(box).save(stream, "PNG")
                yield row, ".png", stream.getvalue()
        except (OSError, UnreadableImage):
            lost.append(row["file"])


def _ending(name, data):
    """That of the name; a row of Parquet has none, and loaders go by it."""
    ending = os.path.splitext(name)[1].lower()
    return ending if ending in ENDINGS else ending_of(data[:16]) or ".img"


def _add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
