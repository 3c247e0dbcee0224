"""Store the scores of everyday photographs beside a trained model: `python scripts/reference_scores.py [MODEL] [DATA]`.

Writes `saved_models/MODEL/reference_scores.json`, for `score --percentile` and the demo: the scores of Nagle and
Lavie's 720 photographs of PASCAL VOC, by each of the model's `.tflite` files, named by their checksums. Scores alone:
no image and no label leaves DATA, by default `../shared/data`. Run it again whenever the model's files change.
"""

import csv
import json
import sys
from pathlib import Path

from clicv2_keras import Scorer, score
from clicv2_keras.deployment.scoring.percentiles import FILE
from clicv2_keras.utils.atomic_files import write_text
from clicv2_keras.utils.package_data import trained_presets

PHOTOGRAPHS = "everyday photographs of PASCAL VOC that Nagle and Lavie (2020) chose"


DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main(model="default", data=DATA):
    folder, data = trained_presets()[model], Path(data)
    with open(data / "nagle.csv", newline="") as table:
        files = [data / row["file"] for row in csv.DictReader(table)]
    scores = {}
    for path in sorted(folder.glob("*.tflite")):
        rows = list(score(files, path))
        assert not any(row.error for row in rows)
        found = scores[Scorer(path).metadata["sha256"]] = sorted(round(row.score, 4) for row in rows)
        print(f"{path.name}: {len(found)} photographs, from {found[0]} to {found[-1]}, median {found[len(found) // 2]}")
    stored = {"photographs": f"{len(files)} {PHOTOGRAPHS}", "scores": scores}
    write_text(folder / FILE, json.dumps(stored) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
