"""How the settings of the counted complexity (`training/pixel_measures.py`) stand among their neighbours.

    python benchmarks/counted_complexity.py [--data ../shared/data]

Spearman's coefficient with people on Savoias `train` and `val`, within each category, then their mean: of every
segmentation beside every palette at the weights that ship, then of the pair that ships at other weights. Last, where
the counts of unlabelled images lie, beside the centre and the spread that ship. Nothing is fitted.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from clicv2_keras.data.sources import FileSource
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.training.pixel_measures import (
    CENTER,
    PALETTES,
    SEGMENTATIONS,
    SPREAD,
    count_colors,
    count_segments,
)
from clicv2_keras.utils.threads import ordered_map, share_cores

UNLABELLED = 1000
SIDE = 256

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, default=Path("../shared/data"))
arguments = parser.parse_args()


def rows(name):
    with open(arguments.data / name, newline="") as file:
        return list(csv.DictReader(file))


def logarithms(files):
    """Of each file the logarithms of all its counts, by setting: {setting: (n,)}."""
    source = FileSource([arguments.data / file for file in files])

    def count(index):
        # As `pixel_measures` does: everything is counted in the image at this size.
        image = source.load(index, at_least=2 * SIDE).resize((SIDE, SIDE), 2)
        found = {("segments", *setting): count_segments(image, *setting) for setting in SEGMENTATIONS}
        return found | {("colours", *setting): count_colors(image, *setting) for setting in PALETTES}

    counted = list(ordered_map(count, range(len(files)), share_cores()[0]))
    return {setting: np.log([row[setting] for row in counted]) for setting in counted[0]}


def agreement(labelled, values, split):
    chosen = [
        (r["category"], float(r["score"]), v) for r, v in zip(labelled, values, strict=True) if r["split"] == split
    ]
    categories = sorted({category for category, _, _ in chosen})
    pairs = ([(score, value) for c, score, value in chosen if c == category] for category in categories)
    return np.mean([srcc(*np.array(pair).T[::-1]) for pair in pairs])


savoias = rows("savoias.csv")
logs = logarithms([row["file"] for row in savoias])


def tell(name, values):
    print(
        f"| {name} | {agreement(savoias, values, 'train'):.3f} | {agreement(savoias, values, 'val'):.3f} |", flush=True
    )


print("| segments (scale, blur) and colours (side, levels), ¾ and ¼ | train | val |\n| --- | --- | --- |")
for segments in SEGMENTATIONS:
    for colors in PALETTES:
        tell(f"{segments}, {colors}", 0.75 * logs["segments", *segments] + 0.25 * logs["colours", *colors])
print("\n| weight of the segments in the first pair | train | val |\n| --- | --- | --- |")
first = logs["segments", *SEGMENTATIONS[0]], logs["colours", *PALETTES[0]]
for weight in (0, 0.25, 0.5, 0.65, 0.75, 0.85, 1):
    tell(weight, weight * first[0] + (1 - weight) * first[1])

corpus = rows("corpus.csv")
chosen = np.linspace(0, len(corpus) - 1, UNLABELLED).astype(int)
logs = logarithms([corpus[i]["file"] for i in chosen])
counted = 0.75 * logs["segments", *SEGMENTATIONS[0]] + 0.25 * logs["colours", *PALETTES[0]]
print(f"\n{UNLABELLED} unlabelled images: mean {counted.mean():.2f}, deviation {counted.std():.2f}")
print(f"what ships: {CENTER}, {SPREAD}")
