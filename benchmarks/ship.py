"""Turn a run folder into a shipped model: `python benchmarks/ship.py RUN_FOLDER NAME`.

Writes `saved_models/NAME/`: the label-free scorer's config and float16 weights, the recipe and the log of the training.
The card, `MODEL_CARD.md`, is written by hand.
"""

import shutil
import sys
from pathlib import Path

import keras

from clicv2_keras import ComplexityScorer
from clicv2_keras.models.presets import save_preset

run, name = Path(sys.argv[1]), sys.argv[2]
target = Path(__file__).resolve().parents[1] / "saved_models" / name
model = keras.saving.load_model(run / "model.keras")
save_preset(ComplexityScorer.label_free(model.encoder), target)
for file in ("recipe.yaml", "metrics.csv"):
    shutil.copyfile(run / file, target / file)
print(f"{target}: {sum(file.stat().st_size for file in target.iterdir()) / 1e6:.1f} MB")
