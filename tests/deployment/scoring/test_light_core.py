"""A device has NumPy, Pillow, click and LiteRT: that is enough."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from clicv2_keras.utils.package_data import trained_presets

ROOT = Path(__file__).parents[3]

# Anything but the standard library and the core's own requirements cannot be imported.
LIGHT = """
import sys

class Forbid:
    allowed = {"clicv2_keras", "numpy", "PIL", "click", "ai_edge_litert"} | set(sys.stdlib_module_names)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Forbid())
"""


def run(code, *arguments):
    command = [sys.executable, "-c", LIGHT + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_the_command_line_needs_no_more(photos, tmp_path):
    code = "from clicv2_keras.cli.main import main; main(prog_name='clicv2-keras')"
    result = run(code, "score", photos, "--output", tmp_path / "rows.csv", "--maps", tmp_path / "maps")
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"5 scored, 0 failed: {tmp_path}/rows.csv\n"
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 6
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 5
    result = run(code, "score", photos)
    # A file names the model of each row as well: it may be gone on with.
    rows = [line.rpartition(",")[0] for line in (tmp_path / "rows.csv").read_text().splitlines()]
    assert result.returncode == 0 and result.stdout.splitlines() == rows
    assert result.stderr == ""
    assert run(code, "--help").returncode == 0
    result = run(code, "train", "quickstart")
    assert result.returncode == 2 and "pip install '.[train]'" in result.stderr


def test_python_needs_no_more(photos):
    code = """
import clicv2_keras
from clicv2_keras.deployment.scoring.scorer import Scorer

rows = list(clicv2_keras.score(sys.argv[1]))
found = Scorer().score(rows[0].file)
assert rows[0].score == round(found.score, 6)
(explained,) = clicv2_keras.explain(rows[0].file, sys.argv[2], output=None)
assert explained.score == found.score and (explained.map == found.map).all()
print(len(rows))
"""
    result = run(code, photos, trained_presets()["default"] / "dynamic.tflite")
    assert (result.stdout, result.stderr) == ("5\n", "")


def test_real_errors_on_stderr_are_not_hidden():
    code = """
import os
from clicv2_keras.deployment.scoring.network import _without_notices

with _without_notices():
    os.write(2, b"INFO: a notice\\nERROR: a fault\\n")
os.write(2, b"after\\n")
"""
    assert run(code).stderr == "ERROR: a fault\nafter\n"


def test_scorers_made_in_threads_lose_no_stderr():
    code = """
import sys, threading
from clicv2_keras import Scorer

threads = [threading.Thread(target=Scorer) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("still here", file=sys.stderr)
"""
    assert run(code).stderr == "still here\n"


def test_no_place_for_temporary_files_is_needed():
    code = """
import tempfile
from clicv2_keras import Scorer

def refuse(*_, **__):
    raise FileNotFoundError(2, "No usable temporary directory found")

tempfile.TemporaryFile = refuse
print(Scorer().image_size)
"""
    assert run(code).stdout == "256\n"


@pytest.mark.slow
def test_a_clean_environment_scores(photos, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    quiet = {"capture_output": True, "text": True, "cwd": tmp_path, "env": clean}
    result = subprocess.run([programs / "pip", "install", "--quiet", ROOT], **quiet)
    assert result.returncode == 0, result.stderr
    listed = subprocess.run([programs / "pip", "list", "--format=freeze"], **quiet).stdout.lower().splitlines()
    installed = {line.partition("==")[0] for line in listed}
    assert "clicv2-keras" in installed
    assert not installed & {"keras", "tensorflow", "scipy", "matplotlib", "pydantic"}
    result = subprocess.run([programs / "clicv2-keras", "score", photos], **quiet)
    assert result.returncode == 0 and result.stdout.count("\n") == 6, result.stderr
