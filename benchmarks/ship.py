"""Turn a scorer into a shipped model: `python benchmarks/ship.py SCORER.keras NAME FILE... [--images FOLDER]`.

Writes `saved_models/NAME/`: config, float16 weights and their checksums, copies of the files (recipe and logs of the
training), and TFLite files in float16 and dynamic int8 that carry the card; with a folder of 300 photographs or more
also one in int8, calibrated and compared on them. The card, `MODEL_CARD.md`, is written by hand: run this again after
it.
"""

import argparse
import shutil
from pathlib import Path

from clicv2_keras import export
from clicv2_keras.models.find_model import find_model
from clicv2_keras.models.presets import save_preset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("scorer")
parser.add_argument("name")
parser.add_argument("files", nargs="*")
parser.add_argument("--images")
options = parser.parse_args()
target = Path(__file__).resolve().parents[1] / "saved_models" / options.name
save_preset(find_model(options.scorer), target)
for file in options.files:
    shutil.copy(file, target)
for quantize in ("float16", "dynamic", *(("int8",) if options.images else ())):
    images = options.images if quantize == "int8" else None
    _, parity = export(options.name, quantize=quantize, output=target / f"{quantize}.tflite", images=images)
    print(quantize, *(f"{what} {value};" for what, value in parity.rows()))
print(f"{target}: {sum(file.stat().st_size for file in target.iterdir()) / 1e6:.1f} MB")
