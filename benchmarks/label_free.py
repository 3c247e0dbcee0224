"""How far a score that saw no human label agrees with people, and with what is known of procedural images.

    python benchmarks/label_free.py [PRESET] [--data ../shared/data]

Savoias ranks within categories, so Spearman's coefficient is taken in each and then averaged; `val` of savoias.csv.
Beside the model's score: the label-free score of its encoder untrained, mean ± deviation over five seeds, and the mean
patch entropy.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from clicv2_keras import ComplexityScorer
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import FileSource, open_source
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.layers import PatchEntropy

UNSEEN_SEED = 2**31 - 2
SEEDS = range(5)

parser = argparse.ArgumentParser()
parser.add_argument("preset", nargs="?", default="clicv2_vit_tiny_d4_patch16_128")
parser.add_argument("--data", type=Path, default=Path("../shared/data"))
arguments = parser.parse_args()

scorer = ComplexityScorer.from_preset(arguments.preset)
if getattr(scorer.head, "label_range", None) is not None:
    raise SystemExit(f"{arguments.preset}: its head is fitted to labels; name a model without")
untrained = [ComplexityScorer.label_free(scorer.encoder.untrained(seed)) for seed in SEEDS]
entropy = PatchEntropy(scorer.encoder.patch_size)


def scores(images):
    """By what gives them: float (n,), of the untrained (5, n)."""
    return {
        "trained": scorer.predict(images, verbose=0)["score"],
        "untrained": np.stack([model.predict(images, verbose=0)["score"] for model in untrained]),
        "mean patch entropy": np.concatenate(
            [np.mean(entropy(images[i : i + 50]), axis=1) for i in range(0, len(images), 50)]
        ),
    }


def row(name, figures):
    """Print figures, each a number or one for each seed."""
    means = [f"{np.mean(f):.3f}" + (f" ± {np.std(f, ddof=1):.3f}" if np.ndim(f) else "") for f in figures]
    print(f"{name:<24}" + "".join(f"{text:>20}" for text in means))


size = scorer.encoder.image_size
print(f"{'SRCC':<24}" + "".join(f"{name:>20}" for name in ("trained", "untrained", "mean patch entropy")))
procedural = open_source("procedural", num_images=1000, image_size=size, seed=UNSEEN_SEED)
known = np.array([procedural.complexity(i) for i in range(1000)])
row("procedural (1000)", [srcc(s, known) for s in scores(load_images(procedural, range(1000), size)).values()])

with open(arguments.data / "savoias.csv", newline="") as file:
    rows = [r for r in csv.DictReader(file) if r["split"] == "val"]
values = scores(load_images(FileSource([arguments.data / r["file"] for r in rows]), range(len(rows)), size))
members = defaultdict(list)
for i, r in enumerate(rows):
    members[r["category"]].append(i)
human = np.array([float(r["score"]) for r in rows])
table = {name: [srcc(v[..., index], human[index]) for v in values.values()] for name, index in members.items()}
for name, figures in table.items():
    row(f"{name} ({len(members[name])})", figures)
row("Savoias val, mean of 7", [np.mean(column, axis=0) for column in zip(*table.values(), strict=True)])
