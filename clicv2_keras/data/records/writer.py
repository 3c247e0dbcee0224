"""A folder of images, or those that a list names, into sharded records."""

import hashlib
import json
import os
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clicv2_keras.data.records.index import FORMAT, INDEX
from clicv2_keras.data.records.shard import Shard, encode, holds_images, packed_before, remove_from
from clicv2_keras.data.sources import FileSource
from clicv2_keras.utils.atomic_files import write_csv, write_text
from clicv2_keras.utils.display import Display
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import FolderLock, check_writable_folder, user_path
from clicv2_keras.utils.threads import ordered_map, share_cores

BAD = "bad.csv"
# Bytes at either end of a file by which it is known again.
END = 4096


class Prepared(NamedTuple):
    """What `prepare` returns: the folder, and how many images are packed, are bad, lie in how many shards and bytes."""

    path: Path
    images: int
    bad: int
    shards: int
    bytes: int


def pack_images(images, output, shard_size=64, side=None, progress=True):
    """Pack images into shards; arguments, result and errors are those of `prepare`, which calls it."""
    output = user_path(output)
    check_writable_folder(output, "OUTPUT")
    paths, names = _open(images)
    known = [names, list(ordered_map(_fingerprint, paths, share_cores()[0])), float(shard_size), side]
    plan = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    output.mkdir(parents=True, exist_ok=True)
    with FolderLock(output):
        _claim(output, images, plan)
        lines = packed_before(output, plan)
        if not any(line["count"] for line in lines):
            lines = []  # the images may have been mended since
        whole = len(lines)
        order = np.random.default_rng(0).permutation(len(paths))
        unreadable = sum(len(line["bad"]) for line in lines)
        done = sum(line["count"] for line in lines) + unreadable
        with Display(len(paths), done, "images", progress) as display:
            if done < len(paths):
                (output / INDEX).unlink(missing_ok=True)
                remove_from(output, whole)
            if done:
                display.say(
                    f"{output}: {whole} shards with {done:,} images are there already, and whole"
                    + (f"; {unreadable:,} unreadable then: name a new OUTPUT to read them again" if unreadable else "")
                )
            lines += _pack(paths, names, order[done:], output, plan, whole, shard_size * 1e6, side, display)
            prepared = _finish(output, lines, side)
            if not prepared.images:
                raise UserError(f"{images}: none of the {len(paths)} images can be read; {output / BAD} says why")
            display.say(
                f"{output}: {prepared.images:,} images in {prepared.shards:,} shards, {prepared.bytes / 1e6:,.1f} MB"
                + (f"; {prepared.bad:,} could not be read, see {BAD}" if prepared.bad else "")
            )
            display.say(f"Next: clicv2-keras train … --set data.source=records --set data.path={output}")
    return prepared


def _open(images):
    """Paths, and names that do not hang on where the folder lies."""
    root = user_path(images)
    if os.path.isfile(root):
        source = FileSource.from_list(root)
        return source.paths, source.names
    paths = FileSource.from_folder(images).paths
    return paths, [path.relative_to(root).as_posix() for path in paths]


def _fingerprint(path):
    """Size of a file and checksums of its ends, which tell it from another of that name; None where there is none."""
    if not os.path.isfile(path):
        return None  # a pipe would be waited for
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            first = zlib.crc32(file.read(END))
            file.seek(max(0, size - END))
            return [size, first, zlib.crc32(file.read(END))]
    except OSError:
        return None


def _claim(output, images, plan):
    """See that the folder is new, or holds this very work, or nothing yet of another."""
    mark, mine = output / "plan.json", json.dumps({"plan": plan})
    marked = mark.read_text(encoding="utf-8", errors="replace") if mark.is_file() else ""
    if marked == mine:
        return
    if holds_images(output):
        raise UserError(f"{output}: holds records of other images or options; name another folder for {images}")
    # Other programs have a file of that name too.
    is_marked = re.fullmatch(r'\{"plan": "[0-9a-f]{64}"\}', marked)
    others = (path.name for path in output.iterdir() if path.name != FolderLock.NAME)
    if not is_marked and not all(name.startswith("unfinished_") for name in others):
        raise UserError(f"{output}: is not empty; name a new folder for the records")
    write_text(mark, mine)


def _pack(paths, names, numbers, output, plan, shards, limit, side, display):
    """Write the images of these numbers; returns the lines of the new shards."""
    lines, shard = [], None
    packed, bad = len(paths) - len(numbers), 0
    encoded = ordered_map(lambda number: (number, encode(paths[number], side)), numbers.tolist(), share_cores()[0])
    try:
        for number, image in encoded:
            # What is bad behind the last image of a shard belongs to that shard: no shard is empty.
            if shard is None or (shard.images and image.data and shard.size + len(image.data) > limit):
                lines += [shard.close()] if shard else []
                shard = Shard(output, shards + len(lines), plan)
            if image.data:
                shard.add(number, names[number], image)
            else:
                shard.bad.append([names[number], image.reason])
            packed, bad = packed + 1, bad + (image.data is None)
            display.update(packed, f"images, {bad} bad" if bad else "images")
        return lines + ([shard.close()] if shard else [])
    finally:
        encoded.close()
        if shard:
            shard.discard()


def _finish(output, lines, side):
    """List what is bad, and write the index, which makes the folder complete."""
    bad = [row for line in lines for row in line["bad"]]
    write_csv(output / BAD, ("file", "reason"), sorted(bad))
    prepared = Prepared(
        output, sum(line["count"] for line in lines), len(bad), len(lines), sum(line["bytes"] for line in lines)
    )
    if prepared.images:
        head = {"format": FORMAT, "images": prepared.images, "bad": prepared.bad, "side": side}
        write_text(output / INDEX, "".join(f"{json.dumps(line)}\n" for line in (head, *lines)))
    return prepared
