from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from clicv2_keras.ablation.plan import describe_ablation, make_plan
from clicv2_keras.ablation.row import TABLE, flat, row_changes
from clicv2_keras.cli.main import main
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.utils.errors import UserError


def test_rows_differ_from_any_recipe_in_their_parts_alone(tmp_path):
    plan = make_plan("quickstart", overrides=["seed=5", "train.steps=70"], seeds=2, output=tmp_path)
    assert [(run.row.name, run.seed) for run in plan.runs] == [(name, seed) for seed in (5, 6) for name in TABLE]
    own = flat(load_recipe("quickstart", ["train.steps=70"]).model_dump())
    changes = row_changes()
    for run in plan.runs:
        mine = flat(run.recipe.model_dump())
        different = {key: mine[key] for key in own if mine[key] != own[key]}
        folder = str(tmp_path / "runs" / run.row.name / f"seed_{run.seed}")
        assert different == {"name": run.row.name, "seed": run.seed, "run.dir": folder, **changes[run.row.name]}
        assert run.images == (0 if run.row.name == "random" else 70 * 32)
    assert len({run.recipe.run.dir for run in plan.runs}) == 16


def test_a_dry_run_tells_rows_and_cost_and_writes_nothing(tmp_path):
    arguments = ["ablate", "quickstart", "--vary", "contrast.negatives=all,same_position", "--output"]
    result = CliRunner().invoke(main, [*arguments, str(tmp_path / "out"), "--dry-run", "--seeds", "4"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("contrast.negatives=all ") and "360 steps of 32" in lines[0] and "PFLOP" in lines[0]
    assert "2 rows, seeds 0, 1, 2, 3: 8 runs, 92,160 images" in lines[2]
    assert not (tmp_path / "out").exists()
    assert "data.path" not in CliRunner().invoke(main, ["ablate", "clicv2_vit_tiny", "--dry-run"]).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "--seeds 0: take 1 or more"),
        (
            {"vary": ["contrast.negatves=all"]},
            r"row contrast\.negatves=all: contrast\.negatves: unknown key; did you mean",
        ),
        ({"vary": ["entropy={weight: 0.5}"]}, "--vary entropy: is a section of the recipe; .*, such as entropy.weight"),
        ({"vary": ["contrast.negatives=al"]}, "'al' is not allowed; did you mean all"),
        ({"vary": ["encoder.patch_size=16,20"]}, "row encoder.patch_size=20: .* does not divide"),
        ({"overrides": ["entropy.weight=0"]}, "quickstart: entropy.weight: 0.0 is what the row mocov3 switches it to"),
        ({"dataset": "savoias"}, "--dataset savoias: name by --root"),
        ({"root": "here"}, "--root here: of which data set"),
        ({"test_split": "val"}, "--test-split val: of which data set"),
        ({"within_category": False}, "--within-category False: of which data set"),
        ({"vary": ["contrast.tokens=2,4"], "overrides": ["contrast.tokens=8"]}, "--set contrast.tokens: is varied"),
        ({"rows": "mem", "overrides": ["run.dir=here"]}, "--set run.dir: every run has a folder of its own"),
        ({"output": "s3://bucket/rows"}, "--output s3://bucket/rows: is a URL"),
        ({"dataset": "savoia", "root": "."}, "did you mean savoias"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        make_plan("quickstart", **arguments)
    assert "\n" not in str(error.value)


def test_labels_that_cannot_be_judged_are_told_before_the_runs(tmp_path):
    for i in range(40):
        Image.new("L", (16, 16), 6 * i).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{i / 40},{i // 4},train" for i in range(32)]
    many = "\n".join(["file,score,category,split", *rows, ""])
    (tmp_path / "many.csv").write_text(many.replace(",train", ","))
    (tmp_path / "equal.csv").write_text(many + "".join(f"{i}.png,.5,0,val\n" for i in range(32, 40)))
    for name, within, told in (("many", True, "no category has 5 images"), ("equal", False, "all labels .* are 0.5")):
        with pytest.raises(UserError, match=told):
            make_plan("quickstart", dataset="csv", root=tmp_path / f"{name}.csv", within_category=within)


def test_rows_have_folders_of_their_own_whatever_they_are_called():
    folder = ["data.source=folder", "data.num_images=null"]
    with pytest.raises(UserError, match="^rows data.path=x/y and data.path=x_y: would share the folder"):
        make_plan("quickstart", vary=["data.path=x/y,x_y"], overrides=folder)
    plan = make_plan("quickstart", vary=[f"data.path={'x' * 250}a,{'x' * 250}b"], overrides=folder, seeds=1)
    folders = {Path(run.recipe.run.dir).parent.name for run in plan.runs}
    assert len(folders) == 2 and max(map(len, folders)) < 255
    plan = make_plan(
        "quickstart", vary=['data.path=/a\N{GRINNING FACE},/b"c\\d'], overrides=folder, output="\N{GRINNING FACE}\u00e9"
    )
    assert [run.recipe.name for run in plan.runs[:2]] == ["data.path=/a\N{GRINNING FACE}", 'data.path=/b"c\\d']
    assert all(run.recipe.run.dir.startswith("\N{GRINNING FACE}\u00e9/runs/") for run in plan.runs)


@pytest.mark.parametrize(
    ("vary", "overrides", "message"),
    [
        ("data.held_out=0,99999", [], "row data.held_out=99999: .*data.held_out: 99999 of .* leaves none to train on"),
        (
            "entropy.weight=2",
            ["probe.dataset=csv", "probe.root=no.csv"],
            "row .*: --set: probe: no.csv: there is no such",
        ),
    ],
)
def test_what_the_rows_read_is_looked_at_before_the_first_is_trained(vary, overrides, message):
    with pytest.raises(UserError, match=f"^{message}"):
        describe_ablation("quickstart", vary=[vary], overrides=overrides)


def test_a_mistake_is_one_line_and_exit_2(tmp_path):
    result = CliRunner().invoke(main, ["ablate", "clicv2_vit_tiny", "--output", str(tmp_path / "out")])
    assert result.exit_code == 2 and result.stdout == "" and not (tmp_path / "out").exists()
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1 and "data.path" in result.stderr
