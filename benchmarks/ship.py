"""Turn a run folder into a shipped model: `python benchmarks/ship.py RUN_FOLDER NAME [IMAGE_SIZE]`.

Writes `saved_models/NAME/`: the label-free scorer's config and float16 weights, the recipe and the log of the training,
and TFLite files in float16 and dynamic int8 that carry the card. With IMAGE_SIZE the model reads images of that side in
place of the one it was trained on. The card, `MODEL_CARD.md`, is written by hand: run this again after it.
"""

import shutil
import sys
from pathlib import Path

import keras

from clicv2_keras import ComplexityScorer, ViTEncoder, export
from clicv2_keras.models.presets import save_preset

run, name = Path(sys.argv[1]), sys.argv[2]
target = Path(__file__).resolve().parents[1] / "saved_models" / name
trained = keras.saving.load_model(run / "encoder.keras")
size = int(sys.argv[3]) if len(sys.argv) > 3 else trained.image_size
encoder = ViTEncoder.from_config({**trained.get_config(), "image_size": size})
encoder.set_weights(trained.get_weights())
save_preset(ComplexityScorer.label_free(encoder), target)
for file in ("recipe.yaml", "metrics.csv"):
    shutil.copyfile(run / file, target / file)
for quantize in ("float16", "dynamic"):
    _, parity = export(name, quantize=quantize, output=target / f"{quantize}.tflite")
    print(quantize, *(f"{what} {value};" for what, value in parity.rows()))
print(f"{target}: {sum(file.stat().st_size for file in target.iterdir()) / 1e6:.1f} MB")
