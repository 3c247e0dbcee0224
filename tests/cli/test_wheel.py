"""The wheel carries what stands at the top level of the checkout."""

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_the_wheel_works_outside_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet"]
    quiet = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT], **quiet)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "recipes").rglob("*.yaml"):
        assert f"clicv2_keras/recipes/{path.relative_to(ROOT / 'recipes').as_posix()}" in names
    for folder in ("deployment/demo/page", "deployment/demo/litert"):
        for path in (ROOT / "clicv2_keras" / folder).iterdir():
            assert f"clicv2_keras/{folder}/{path.name}" in names
    assert any(name.startswith("clicv2_keras/saved_models/") for name in names)
    assert not any(name.startswith(("tests/", "recipes/", "benchmarks/")) for name in names)

    check_requirements(zipfile.ZipFile(wheel))

    target = tmp_path / "target"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", target, wheel], **quiet)
    command = [sys.executable, "-m", "clicv2_keras", "recipe", "ablation/sp"]
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(target)}, **quiet)
    assert "name: ablation_sp" in result.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import clicv2_keras; print(clicv2_keras.__file__)"],
        env={**os.environ, "PYTHONPATH": str(target)},
        **quiet,
    )
    assert where.stdout.startswith(str(target))


def check_requirements(wheel):
    """The core is for every Python that its packages are for; TensorFlow, which is not, binds its extras alone."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Requires-Python"] == ">=3.11"
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]

    def needed(python, extra):
        marked = {"python_version": python, "extra": extra}
        return {r.name for r in requirements if r.marker is None or r.marker.evaluate(marked)}

    assert needed("3.14", "") == {"numpy", "pillow", "click", "ai-edge-litert"}
    # All that `select` imports.
    assert needed("3.14", "parquet") - needed("3.14", "") == {"pyarrow", "fsspec"}
    assert needed("3.13", "train") > {"tensorflow", "keras-cv", "tf-keras-vis"}
    assert not needed("3.14", "train") & {"tensorflow", "keras-cv", "tf-keras-vis"}
