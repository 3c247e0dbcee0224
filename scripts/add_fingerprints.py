"""Tell a shipped scorer what it was fitted to, where it was fitted before models carried that.

    python scripts/add_fingerprints.py NAME --dataset csv --root LABELS.csv [--split train]

The images' fingerprints go into the head of `saved_models/NAME`; the weights stay as they are, to the bit. The encoder
is told that no label trained it, which only whoever made it can know.
"""

import argparse
from pathlib import Path

import numpy as np

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.models import ComplexityScorer
from clicv2_keras.models.presets import load_preset, save_preset
from clicv2_keras.utils.fingerprints import Fingerprints, fingerprint
from clicv2_keras.utils.package_data import trained_presets

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--dataset", default="csv")
parser.add_argument("--root", required=True)
parser.add_argument("--split", default="train")
arguments = parser.parse_args()

data = open_scored(arguments.dataset, arguments.root)
data = data.subset(data.splits == arguments.split)
scorer = load_preset(ComplexityScorer, arguments.name)
before = scorer.get_weights()
scorer.head.fitted_to = Fingerprints([fingerprint(data.source.load(i)) for i in range(len(data))])
scorer.encoder.fitted_to = Fingerprints()
folder = Path(trained_presets()[arguments.name])
save_preset(scorer, folder)

again = load_preset(ComplexityScorer, arguments.name)
assert all(np.array_equal(a, b) for a, b in zip(before, again.get_weights(), strict=True))
print(f"{folder}: fitted to {len(again.head.fitted_to)} different images of {len(data)}; all weights as before")
