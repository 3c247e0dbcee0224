import csv
from types import SimpleNamespace

import numpy as np
import pytest

from clicv2_keras.ablation.ablation import Ablation
from clicv2_keras.ablation.output_folder import OutputFolder
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.utils.errors import UserError

ROW = {"row": "one", "seed": 0, "steps": 2, "images": 16, "ridge_srcc": 0.25, "seconds": 1.5, "error": ""}


def plan(*overrides, recipe="quickstart", protocol="judged so", data=None):
    return SimpleNamespace(recipe=load_recipe(recipe, overrides), protocol=protocol, data=data)


def labelled(*scores):
    parts = np.full(len(scores), "")
    return SimpleNamespace(names=["a.jpg", "b.jpg"], scores=np.array(scores), categories=parts, splits=parts)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND")
    folder = OutputFolder(tmp_path / "a" / "b")
    assert folder.open(plan()) == []
    folder.close()
    return folder


def test_a_second_ablation_waits_for_the_first(folder):
    folder.open(plan())
    with pytest.raises(UserError, match="another process is at work there"):
        OutputFolder(folder.path).open(plan())
    folder.close()
    second = OutputFolder(folder.path)
    assert second.open(plan()) == []
    second.close()


def test_rows_are_read_back_as_they_were(folder):
    varied = {
        "row": "a=1",
        "seed": 1,
        "contrast.negatives": "all",
        **{k: v for k, v in ROW.items() if k not in ("row", "seed")},
    }
    diverged = {k: v for k, v in ROW.items() if k != "ridge_srcc"} | {"row": 'ö, "x"', "error": "the loss, not finite"}
    undefined = ROW | {"seed": 2, "ridge_srcc": float("nan")}
    folder.save(Ablation([ROW, varied, diverged, undefined], "judged so", []))
    read = folder.open(plan())
    # A row that is silent on a key that others vary has the recipe's own value.
    own = {"contrast.negatives": "same_position"}
    assert repr(read) == repr([_at_key(row, own) for row in (ROW, varied, diverged, undefined)])
    with open(folder.path / "ablation.csv", newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header == ["row", "seed", "contrast.negatives", "steps", "images", "ridge_srcc", "seconds", "error"]
    assert not list(folder.path.glob("unfinished*"))


def _at_key(row, own):
    first = {name: row[name] for name in ("row", "seed")}
    return first | own | {name: value for name, value in row.items() if name not in first}


def test_only_the_same_recipe_backend_and_judge_go_on(folder):
    folder.open(plan("seed=7", "name=other", "run.log_every=3"))
    for changed, what in [
        (plan("train.steps=1"), "train.steps 360, not 1;"),
        (plan("backend=jax"), "backend tensorflow, not jax;"),
        (plan(protocol="otherwise"), "judged by judged so, not otherwise;"),
    ]:
        with pytest.raises(UserError, match=what) as error:
            folder.open(changed)
        assert "\n" not in str(error.value) and str(folder.path) in str(error.value)


def test_other_labels_of_the_same_name_are_not_mixed_in(folder):
    folder.open(plan(data=labelled(0, 1)))
    folder.open(plan(data=labelled(0, 1)))
    with pytest.raises(UserError, match="was started with labels of checksum .*, not .*; go on with the same"):
        folder.open(plan(data=labelled(1, 0)))


def test_what_is_no_folder_of_an_ablation(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output .*file.*name a folder"):
        OutputFolder(tmp_path / "file").open(plan())
    for text in (b"file,score\na.jpg,1\n", b"row,seed\none,first\n", b"row,seed\n\xe9,1\n", b"row\n" + b"a" * 200_000):
        (folder.path / "ablation.csv").write_bytes(text)
        with pytest.raises(UserError, match="is no table of an ablation"):
            folder.open(plan())
    for header, what in (("row,seed,comment", "comment"), ("row,seed", "a cell beyond the header")):
        (folder.path / "ablation.csv").write_text(f"{header}\none,1,good\n")
        with pytest.raises(UserError, match=f"{what} is no key of a recipe; take it out"):
            folder.open(plan())


@pytest.mark.parametrize("content", ["", "null", "[" * 3000, "a: 2024-02-30"], ids=range(4))
def test_a_broken_file_is_one_line(folder, content):
    (folder.path / "ablation.yaml").write_text(content)
    with pytest.raises(UserError, match="ablation.yaml: is broken; move it away"):
        folder.open(plan())
