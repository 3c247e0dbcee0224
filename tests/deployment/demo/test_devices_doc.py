"""docs/devices.md shows code that works: the JavaScript is what the demo runs, the Python runs here."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clicv2_keras.deployment.demo.files import FOLDER
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.utils.package_data import trained_presets

DOC = (Path(__file__).parents[3] / "docs" / "devices.md").read_text(encoding="utf-8")
MODEL = trained_presets()["default"] / "dynamic.tflite"


def listings(language):
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.S)


@pytest.mark.parametrize("name", ["network_input.js", "scorer.js"])
def test_the_javascript_is_what_the_demo_runs(name):
    assert (FOLDER / "page" / name).read_text(encoding="utf-8") in listings("js")


def test_the_python_scores_as_the_package_does_and_needs_nothing_else(pictures, tmp_path):
    (listing,) = listings("python")
    # On a device neither this package nor a framework is there.
    guard = (
        "import sys\nfor name in ('clicv2_keras', 'keras', 'tensorflow', 'scipy', 'cv2'): sys.modules[name] = None\n"
    )
    (tmp_path / "score.py").write_text(guard + listing)
    command = [sys.executable, "score.py", MODEL, *pictures.values()]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    scores = {file: float(score) for score, file in re.findall(r"^(0\.\d+)  (.*)$", out, re.M)}
    scorer = Scorer(MODEL)
    assert scores == {str(file): pytest.approx(scorer.score(file).score, abs=1e-3) for file in pictures.values()}


def test_the_metadata_is_where_it_says():
    with zipfile.ZipFile(MODEL) as folder:
        for name in re.findall(r"unzip -p dynamic.tflite (\S+)", DOC):
            assert folder.read(name)
    assert Scorer(MODEL).metadata.keys() >= set(re.search(r"clicv2_keras.json +# (.*)", DOC)[1].split(", "))
