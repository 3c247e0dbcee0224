"""Labels, and the images that they are about: label files err in endings, and name images that are not there."""

import math
import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.data.sources import FileSource
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import ENDINGS, begins_like_image, seems_image


class Label(NamedTuple):
    """What a label file says of one image: its name there, where it should lie, its score as given."""

    name: str
    path: Path
    score: float
    category: str = ""
    split: str = ""


def parse_score(text):
    """A finite number, or None."""
    if not isinstance(text, str | bytes | int | float | np.number):
        return None
    try:
        # Python would read 1_0 as 10.
        score = math.nan if "_" in str(text) else float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def match_labels(dataset, labels, score_range, where, root, ranked_within_category=False, notes=()):
    """Bring labels and images together, by name or, where the ending is another, by the name without it.

    Args:
        dataset: its name.
        labels: a list of `Label`.
        score_range: the lowest and the highest possible score.
        where: what to call the labels' file in an error.
        root: the folder that images without a label are named from.
        notes: lines that stand before those on labels without an image and images without a label.

    Returns:
        `ScoredImages`, in the order of the labels.

    Raises:
        UserError: where no label matches an image, all that do have one score, or a score is outside the range.
    """
    low, high = score_range
    for label in labels:
        if not low <= label.score <= high:
            raise UserError(
                f"{where}: the score of {label.name} is {label.score:g}, not in [{low:g}, {high:g}]; correct it"
            )
    folders = {parent: _Folder(parent) for parent in dict.fromkeys(label.path.parent for label in labels)}
    found, taken = {}, set()
    # Exact names first: `5.jpg` must not take the `5.png` that another label names in full.
    for find in (_Folder.exact, _Folder.alike):
        for row, label in enumerate(labels):
            candidates = find(folders[label.path.parent], label.path.name) if row not in found else ()
            path = next((path for path in candidates if path not in taken), None)
            if path:
                found[row] = path
                taken.add(path)
    if not found:
        raise UserError(f"{where}: none of its {len(labels)} labels matches an image; {_both_sides(labels, folders)}")

    missing = [label.name for row, label in enumerate(labels) if row not in found]
    root = os.path.realpath(root)
    spare = [os.path.relpath(p, root) for folder in folders.values() for p in folder.images() if p not in taken]
    notes = list(notes)
    if spare:
        notes.append(f"{_count(spare, 'image has', 'images have')} no label: {first_names(spare)}")
    if missing:
        notes.append(f"{_count(missing, 'label matches', 'labels match')} no image (left out): {first_names(missing)}")
    rows = sorted(found)
    kept = [labels[row] for row in rows]
    if len({label.score for label in kept}) == 1:
        alike = f"all {len(kept)} scores that have an image are {kept[0].score:g}"
        raise UserError(f"{where}: {alike}; agreement needs scores that differ")
    return ScoredImages(
        name=dataset,
        source=FileSource([found[row] for row in rows], [label.name for label in kept]),
        scores=(np.array([label.score for label in kept], "float64") - low) / (high - low),
        score_range=(float(low), float(high)),
        categories=np.array([label.category for label in kept], dtype=str),
        splits=np.array([label.split for label in kept], dtype=str),
        ranked_within_category=ranked_within_category,
        notes=tuple(notes),
    )


def first_names(names):
    """The first three, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _count(items, one, many):
    return f"{len(items)} {one if len(items) == 1 else many}"


def _both_sides(labels, folders):
    image = next((path for folder in folders.values() for path in folder.images()), None)
    looked_for = f"the first label looks for {labels[0].path}"
    if image:
        return f"{looked_for}, while the images there are called like {image.name}"
    return f"{looked_for}, and there is no image in that folder"


def composed(name):
    """A name in one form of Unicode: archives of macOS take letters and their accents apart."""
    return unicodedata.normalize("NFC", name)


class _Folder:
    """The files of one folder, as `Label.path` may name them."""

    def __init__(self, path):
        self.path = path
        # Names that begin with a dot are not the user's: macOS leaves a `._0.jpg` beside `0.jpg` in its archives.
        files = path.iterdir() if os.path.isdir(path) else ()
        self.names = sorted(file.name for file in files if file.is_file() and file.name[0] != ".")
        self.same, self.stems = {}, {}
        for name in self.names:
            self.same.setdefault(composed(name), []).append(self.path / name)
            self.stems.setdefault(composed(Path(name).stem), []).append(self.path / name)

    def exact(self, name):
        """Files of that name, the one of the very bytes first."""
        return sorted(self.same.get(composed(name), []), key=lambda file: file.name != name)

    def alike(self, name):
        """Images of that name with another ending or, where the name has none, with any; real images first."""
        stem = Path(name).stem if name.lower().endswith(ENDINGS) else name
        files = self.stems.get(composed(name)) or self.stems.get(composed(stem), [])
        return sorted(filter(seems_image, files), key=lambda file: not begins_like_image(file))

    def images(self):
        return (self.path / name for name in self.names if seems_image(self.path / name))
