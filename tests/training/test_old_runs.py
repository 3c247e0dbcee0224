"""A run folder that version 0.1 wrote, at commit d0e12ef, stopped at step 4 of 6."""

import csv
import shutil
from pathlib import Path

import pytest

import clicv2_keras
from clicv2_keras.recipe.files import load_recipe

RUN = Path(__file__).parents[1] / "fixtures" / "run_0.1"


@pytest.mark.slow
def test_a_run_of_0_1_goes_on_and_ends(tmp_path):
    folder = shutil.copytree(RUN, tmp_path / "run")
    before = list(csv.DictReader((folder / "metrics.csv").open()))
    # The recipe that the folder holds is one of today's too.
    recipe = load_recipe(folder / "recipe.yaml", [f"run.dir={folder}"])
    clicv2_keras.train(recipe, resume=True, progress=False)
    after = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["step"] for row in after] == ["2", "4", "6"]
    for old, new in zip(before, after[:2], strict=True):
        assert {name: new[name] for name in old} == old
    # Its rate had come to .00025 at step 4 and ends at 0.
    assert float(after[1]["learning_rate"]) == 0.00025 and float(after[2]["learning_rate"]) == 0
    assert (folder / "encoder.keras").is_file() and (folder / "model.keras").is_file()
