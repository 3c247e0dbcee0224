"""The code blocks of README and docs: what they name exists, and what can run here does, on small stand-ins."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from code_blocks import PAGES, ROOT, code_blocks, script
from PIL import Image

import clicv2_keras
from clicv2_keras.cli.main import COMMANDS, main
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.procedural import procedural_image

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
BLOCKS = [pytest.param(block, id=f"{page.stem}-{i}") for page in PAGES for i, block in enumerate(code_blocks(page))]
# start.md is run from scratch by .ci/newcomer.
LONG = ("evaluate", "finetune")
RUN = [page for page in PAGES if page.name != "start.md" and any(block.runs for block in code_blocks(page))]


def of(language):
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.values[0].language == language])


@of("bash")
def test_commands_exist_with_their_options(block):
    assert block.commands
    for words in block.commands:
        if "clicv2-keras" in words and words[0] != "cd":
            name, *arguments = words[words.index("clicv2-keras") + 1 :]
            assert name in COMMANDS
            # Raises where an option or its value is not one.
            context = main.get_command(None, name).make_context(name, arguments)
            if "overrides" in context.params:
                checked_keys(context.params)
        for word in words:
            if word.startswith(("benchmarks/", "scripts/", "examples/", "tests/", "recipes/", "docs/")):
                assert (ROOT / word).exists()
        if words[:2] == ["pip", "install"]:
            assert words[-1].startswith("."), "no package index has this package"
            extras = words[-1].partition("[")[2].rstrip("]")
            assert set(filter(None, extras.split(","))) <= EXTRAS.keys()


def checked_keys(params):
    """Every `--set KEY=VALUE` is one of the schema; what a recipe needs besides may be missing in an excerpt."""
    name, overrides = params.get("recipe") or params.get("name") or "quickstart", params["overrides"]
    try:
        load_recipe(name, overrides)
    except UserError as error:
        assert "no such recipe" in str(error), error
        try:
            load_recipe("clicv2_vit_tiny", overrides)
        except UserError as other:
            # Keys may go together in the recipe that is not here.
            assert "unknown key" not in str(other), other


def test_a_key_that_is_none_is_found():
    with pytest.raises(AssertionError, match="steqs"):
        checked_keys({"recipe": "quickstart", "overrides": ["train.steqs=3"]})
    with pytest.raises(AssertionError, match="steqs"):
        checked_keys({"recipe": "my_own.yaml", "overrides": ["train.steqs=3"]})


@of("python")
def test_python_compiles_and_what_it_imports_exists(block):
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and node.module == "clicv2_keras":
            assert {alias.name for alias in node.names} <= set(clicv2_keras.__all__)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("clicv2_keras."):
            spec = importlib.util.find_spec(node.module)
            assert spec and all(alias.name in Path(spec.origin).read_text() for alias in node.names)


@of("yaml")
def test_a_recipe_has_the_schemas_keys(block):
    recipe = yaml.safe_load(block.code)
    if "apiVersion" in recipe:  # Kubernetes' own
        return
    for section, values in recipe.items():
        assert section == "extends" or section in Recipe.model_fields
        if isinstance(values, dict):
            assert values.keys() <= Recipe.model_fields[section].annotation.model_fields.keys()


def test_every_block_runs_or_says_why_not_and_is_of_a_known_language():
    for block in (b.values[0] for b in BLOCKS):
        assert block.language in ("bash", "python", "yaml", "text", "js", "kotlin", "html", "mermaid")
        assert not block.note.startswith("not run: ") or len(block.note) > len("not run: ") + 5


@pytest.fixture
def newcomer(tmp_path, ic9600, network, monkeypatch):
    """A folder with what a checkout has, and stand-ins for what a user has; its environment."""
    for name in ("recipes", "benchmarks", "docs", "examples", "saved_models", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    home = tmp_path / "home"
    (home / "Pictures" / "2026").mkdir(parents=True)
    for i in range(24):
        picture = Image.fromarray(procedural_image(i, 96)[0])
        picture.save(home / "Pictures" / ("2026" if i % 2 else "") / f"{i}.jpg")
    shutil.copy(home / "Pictures" / "0.jpg", tmp_path / "photo.jpg")
    shutil.copytree(ic9600, home / "IC9600")
    images = sorted((ic9600 / "images").iterdir())[:30]
    rows = [f"{image},{i % 10},{'train' if i % 3 else 'test'}" for i, image in enumerate(images)]
    (tmp_path / "ratings.csv").write_text("\n".join(["file,score,split", *rows]) + "\n")
    others = [f"{image},{i % 7}" for i, image in enumerate(images)]
    (tmp_path / "theirs.csv").write_text("\n".join(["file,score", *others]) + "\n")
    for folder, ranking in (("Art", "art"), ("Objects", "objects")):
        place = home / "Savoias-Dataset" / "Images" / folder
        place.mkdir(parents=True)
        for i, image in enumerate(images[:20]):
            Image.open(image).rotate(90 * (folder == "Art")).save(place / f"{i}.png")
        scores = {i: [f"{i}.png", float(i)] for i in range(20)}
        truth = home / "Savoias-Dataset" / "Ground truth" / "npy"
        truth.mkdir(parents=True, exist_ok=True)
        np.save(truth / f"global_ranking_{ranking}.npy", scores, allow_pickle=True)
    for part in ("train", "val"):
        for kind, turn in (("n01", 0), ("n02", 90)):
            (home / "imagenet" / part / kind).mkdir(parents=True)
            for i, image in enumerate(images[:6]):
                Image.open(image).rotate(turn).save(home / "imagenet" / part / kind / f"{i}.png")
    shutil.copy(trained_presets()["default"] / "dynamic.tflite", tmp_path)
    shutil.copy(network, tmp_path / "lite0.keras")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return tmp_path, {**os.environ, "HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.long if page.stem in LONG else (), id=page.stem) for page in RUN]
)
def test_the_blocks_of_a_page_run_in_order(page, newcomer):
    folder, environment = newcomer
    command = ["bash", "-x", "-c", script(page, installs=False)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_the_script_of_a_page_is_its_blocks_in_order(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\npip install .\nclicv2-keras score a\nclicv2-keras evaluate a --root b  # of b\n```\n"
        "<!-- dry run -->\n```bash\nclicv2-keras train r \\\n"
        "  --set a.b=1  # long\n```\n<!-- not run: no reason -->\n```bash\nrm -r /\n```\n```python\nprint(1)\n```\n"
    )
    scored, trained = "clicv2-keras score a", "clicv2-keras train r    --set a.b=1 --dry-run  # long"
    evaluated = "clicv2-keras evaluate a --root b --untrained-seeds 1  # of b"
    python = ["python - <<'END_OF_BLOCK'", "print(1)", "END_OF_BLOCK"]
    expected = ["set -euo pipefail", "", scored, evaluated, "", trained, "", *python]
    assert script(page, installs=False).splitlines() == expected
    with pytest.raises(click.UsageError):
        main.get_command(None, "score").make_context("score", ["a", "--nothing"])
