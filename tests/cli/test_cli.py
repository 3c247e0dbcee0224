"""The command line: most checks in this process, those that are about the process itself in one of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tiny_network import tiny_feature_maps

import clicv2_keras
from clicv2_keras.cli.main import COMMANDS, main
from clicv2_keras.recipe.files import load_recipe, shipped_recipes

SCRIPT = Path(sys.executable).parent / "clicv2-keras"


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_mistake(result, *parts):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: ")
    for part in parts:
        assert part in lines[0]


def test_version_is_that_of_the_installed_package():
    result = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"clicv2-keras {clicv2_keras.__version__}\n"


def test_help_loads_neither_keras_nor_pydantic():
    code = (
        "import sys; from click.testing import CliRunner; from clicv2_keras.cli.main import main; "
        "result = CliRunner().invoke(main, ['--help']); print(result.output); "
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'pydantic', 'numpy', 'rich'} & set(sys.modules); "
        "sys.exit(result.exit_code or str(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for command in COMMANDS:
        assert f"  {command} " in result.stdout


def test_recipe_prints_the_schema_and_a_recipe_that_loads():
    schema = call("recipe")
    assert schema.exit_code == 0 and "learning_rate: number > 0" in schema.output
    resolved = call("recipe", "quickstart", "--set", "train.steps=3")
    assert resolved.exit_code == 0
    assert yaml.safe_load(resolved.output)["train"]["steps"] == 3


@pytest.mark.parametrize("name", shipped_recipes())
def test_dry_run_tells_the_cost_of_every_recipe_whole(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    networks = ()
    if load_recipe(name).encoder.stem != "linear":
        tiny_feature_maps().save(tmp_path / "network.keras")
        networks = [f"{key}={tmp_path}/network.keras" for key in ("encoder.stem", "guide.teacher")]
    result = call("train", f"recipes/{name}.yaml", "--dry-run", *(f"--set={each}" for each in networks))
    assert result.exit_code == 0, result.output
    for word in ("batch", "tokens", "parameters", "FLOPs", "memory", "rate", "steps", "time"):
        assert f"\n{word} " in result.output


def test_dry_run_counts_the_images(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for index in range(3):
        Image.new("RGB", (40, 40), (index, 0, 0)).save(tmp_path / f"{index}.jpg")
    result = call("train", "clicv2_vit_large", "--dry-run", "--set", f"data.path={tmp_path}")
    assert "\nimages      3 (folder)" in result.output


def test_a_command_that_became_a_recipe_says_so():
    assert_mistake(call("distill", "runs/mine", "--images", "here"), "clicv2-keras train pixels_vit_tiny", "finetune")
    with pytest.raises(AttributeError, match="pixels_vit_tiny"):
        clicv2_keras.distill  # noqa: B018


def test_mistakes_are_one_line_and_exit_2(tmp_path):
    (tmp_path / "empty").mkdir()
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: clicv2_vit_tiny\noptimizer: {lerning_rate: 1}\n")
    assert_mistake(call("train", mine), "mine.yaml", "optimizer.lerning_rate", "did you mean learning_rate?")
    assert_mistake(call("train", "quickstart", "--set", "train.steps=1.5"), "--set", "train.steps", "integer")
    assert_mistake(
        call("train", "quickstart", "--set", "encoder.patch_size=20"), "encoder.patch_size", "96", "80 or 100"
    )
    assert_mistake(call("train", "qickstart"), "qickstart", "did you mean quickstart?")
    folder = ["train", "clicv2_vit_tiny"]
    assert_mistake(call(*folder), "data.path", "--set data.path=")
    assert_mistake(call(*folder, "--set", f"data.path={tmp_path}/missing"), "missing")
    assert_mistake(call(*folder, "--set", f"data.path={tmp_path}/empty"), "empty")
    assert_mistake(call(*folder, "--dry-run", "--set", f"data.path={tmp_path}/empty"), "empty")
    for more in ([], ["--dry-run"]):
        at_a_url = ["--set", "run.dir=gs://bucket/run", *more]
        assert_mistake(call("train", "quickstart", *at_a_url), "--set: run.dir: gs://bucket/run: is a URL")
    assert_mistake(call("recipe", "quickstart", "--set", "seed=-1"), "seed", "greater than or equal to 0")


def test_a_list_of_what_is_selected_replaces_nothing(tmp_path):
    (tmp_path / "scores.csv").write_text("file,score,width,height,error\na.jpg,0.5,10,10,\n")
    (tmp_path / "mine.txt").write_text("mine")
    for name, says in {"mine.txt": "exists; name another, or remove it", ".": "is a folder; name a file"}.items():
        assert_mistake(call("select", tmp_path / "scores.csv", "--output", tmp_path / name), "--output", says)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    for module in [name for name in sys.modules if name.startswith("clicv2_keras.recipe.")]:
        monkeypatch.delitem(sys.modules, module)
    assert_mistake(call("recipe", "quickstart"), "yaml", "pip install '.[train]' in a clone", ".whl[train]'")
    # Where TensorFlow has no package, an installation would end without it.
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    assert_mistake(call("recipe", "quickstart"), "yaml", "[train] is for Python 3.11 to 3.13")


def test_a_mistake_leaves_no_run_folder_and_no_traceback(tmp_path):
    command = [SCRIPT, "train", "clicv2_vit_tiny", "--set", "data.path=nowhere"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == "" and result.stderr.count("\n") == 1 and result.stderr.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_place_is_one_line(monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", "/locked/photos")

    monkeypatch.setattr("clicv2_keras.recipe.text.describe_schema", refuse)
    result = call("recipe")
    assert result.exit_code == 1 and result.stderr.strip() == "Error: /locked/photos: Permission denied"
