"""Are images known again by their fingerprints, and no other taken for them?

    python benchmarks/fingerprints.py [--data ../shared/data]

Prints for each category of Savoias and for Nagle how many images are missed after a change of their file, and how many
pairs of different images count as one; then the same pairs with the unlabelled corpus, by source.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from clicv2_keras.utils.fingerprints import Fingerprints, bounds, differences, fingerprint
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.threads import ordered_map, share_cores

FILTERS = ("BICUBIC", "BILINEAR", "LANCZOS", "BOX", "NEAREST")

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, default=Path("../shared/data"))
data = parser.parse_args().data


def stored(image, form, **options):
    """The image after its way through a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return open_rgb(file.getvalue())


def resized(image, factor, name):
    return image.resize([max(1, round(factor * side)) for side in image.size], Image.Resampling[name])


CHANGES = {"PNG": lambda image: stored(image, "PNG"), "JPEG q70": lambda image: stored(image, "JPEG", quality=70)}
CHANGES |= {f"half, {name.lower()}": lambda image, name=name: resized(image, 0.5, name) for name in FILTERS}
CHANGES["half, JPEG q70"] = lambda image: stored(resized(image, 0.5, "BICUBIC"), "JPEG", quality=70)
CHANGES["half, lanczos, q70"] = lambda image: stored(resized(image, 0.5, "LANCZOS"), "JPEG", quality=70)
CHANGES["quarter, JPEG q70"] = lambda image: stored(resized(image, 0.25, "BICUBIC"), "JPEG", quality=70)
CHANGES["double"] = lambda image: resized(image, 2, "BICUBIC")


def read(path, changes=()):
    """Fingerprints of an image, then of its changed versions."""
    image = open_rgb(path)
    return np.stack([fingerprint(image), *(fingerprint(change(image)) for change in changes)])


def rows(table):
    with open(data / table, newline="") as file:
        return list(csv.DictReader(file))


def codes(rows, changes=()):
    return np.stack(list(ordered_map(lambda row: read(data / row["file"], changes), rows, share_cores()[0])))


def nearness(mine, others):
    """Differences over their bounds, the larger of luma and chroma: at most 1 where they count as one; (n, m)."""
    return (differences(mine, others) / bounds(mine)[..., None]).max(axis=0)


labelled = rows("savoias.csv") + rows("nagle.csv")
names = np.array([row.get("category", "nagle") for row in labelled])
found = codes(labelled, CHANGES.values())
plain, changed = found[:, 0], found[:, 1:]
# Against its own image alone: that another one answers for it is no merit.
off = np.array([nearness(own[None], versions)[0] for own, versions in zip(plain, changed, strict=True)])
print(f"{len(labelled)} labelled images: missed of each category, and the largest difference in units of its bound")
for name, column in zip(CHANGES, off.T, strict=True):
    by_category = ", ".join(f"{c} {(column[names == c] > 1).sum()}" for c in np.unique(names))
    print(f"{name:<18} {(column > 1).sum()} missed ({by_category}); at most {column.max():.2f}")

near = nearness(plain, plain)
np.fill_diagonal(near, np.inf)
print("images that are taken for another of the labelled ones, and the nearest others in units of the bound")
for name in np.unique(names):
    nearest = np.sort(near.min(axis=1)[names == name])
    print(f"{name:<18} {(nearest <= 1).sum()} of {len(nearest)}; {nearest[:6].round(1)}")
for i, j in np.argwhere(np.triu((near <= 1) | (near.T <= 1))):
    print(f"  {labelled[i]['file']} and {labelled[j]['file']}")

corpus = rows("corpus.csv")
sources = np.array([row["source"] for row in corpus])
others = codes(corpus)[:, 0]
print(f"of {len(corpus)} images of the corpus {Fingerprints(plain).known(others).sum()} are taken for a labelled one")
same = np.zeros(len(others), bool)
for start in range(0, len(others), 1000):
    block = nearness(others[start : start + 1000], others)
    block[np.arange(len(block)), start + np.arange(len(block))] = np.inf
    same[start : start + 1000] = (block <= 1).any(axis=1)
taken = {str(s): int(same[sources == s].sum()) for s in np.unique(sources) if same[sources == s].any()}
print(f"and {same.sum()} for another of the corpus: {taken}")
