"""JPEG quality by complexity: smooth pictures show blocks and bands and are cheap to keep well; busy ones hide them.

    python examples/adaptive_jpeg.py FOLDER OUTPUT

Needs the light core alone. The line between the two qualities is a choice, not a finding: look at your pictures.
"""

import sys
from pathlib import Path

from PIL import Image

from clicv2_keras import score
from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.images import UnreadableImage, open_rgb

SIMPLE, BUSY = 92, 68  # qualities at the scores .1 and .7


def quality(complexity):
    """From SIMPLE at .1 and below to BUSY at .7 and above."""
    share = min(max((complexity - 0.1) / 0.6, 0), 1)
    return round(SIMPLE + share * (BUSY - SIMPLE))


def recompress(folder, output):
    """Write each picture of `folder` into `output` as JPEG; returns rows (file, score, quality, bytes)."""
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in score([folder]):
        if output.resolve() in Path(row.file).resolve().parents:
            continue  # what was written before
        if row.error:
            print(f"{row.file}: {row.error}", file=sys.stderr)
            continue
        # The whole name: a.jpg and a.png may lie side by side.
        target = output / f"{Path(row.file).relative_to(folder)}.jpg"
        if target.exists():
            print(f"{target}: is there, and is kept", file=sys.stderr)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # As it was scored: upright, what is transparent on white, 16 bits as 8; but at its full size.
            picture = open_rgb(row.file)
            with Image.open(row.file) as source:
                # Of other modes it is of colours that are no more.
                profile = source.info.get("icc_profile") if source.mode in ("RGB", "RGBA") else None
        except UnreadableImage as error:
            print(f"{row.file}: {error}", file=sys.stderr)
            continue
        with atomic_write(target) as unfinished:
            picture.save(unfinished, "JPEG", quality=quality(row.score), optimize=True, icc_profile=profile)
        rows.append((row.file, row.score, quality(row.score), target.stat().st_size))
    return rows


if __name__ == "__main__":
    for file, complexity, chosen, size in recompress(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"{complexity:.3f}  quality {chosen}  {size:>8} bytes  {file}")
