"""Turn a scorer into a shipped model: `python benchmarks/ship.py SCORER.keras NAME FILE...`.

Writes `saved_models/NAME/`: config, float16 weights and their checksums, copies of the files (recipe and logs of the
training), and TFLite files in float16 and dynamic int8 that carry the card. The card, `MODEL_CARD.md`, is written by
hand: run this again after it.
"""

import shutil
import sys
from pathlib import Path

from clicv2_keras import export
from clicv2_keras.models.find_model import find_model
from clicv2_keras.models.presets import save_preset

scorer, name, files = sys.argv[1], sys.argv[2], sys.argv[3:]
target = Path(__file__).resolve().parents[1] / "saved_models" / name
save_preset(find_model(scorer), target)
for file in files:
    shutil.copy(file, target)
for quantize in ("float16", "dynamic"):
    _, parity = export(name, quantize=quantize, output=target / f"{quantize}.tflite")
    print(quantize, *(f"{what} {value};" for what, value in parity.rows()))
print(f"{target}: {sum(file.stat().st_size for file in target.iterdir()) / 1e6:.1f} MB")
