import pytest

from clicv2_keras.ablation.row import LEVERS, TABLE, Row, choose_rows, row_changes
from clicv2_keras.recipe.files import load_recipe, shipped_recipes
from clicv2_keras.recipe.text import flat
from clicv2_keras.utils.errors import UserError

# The table of the method: contrast, shift, masked entropy.
PARTS = {
    "random": {"train.steps": 0},
    "mocov3": {
        "data.views": "two_crops",
        "contrast.level": "image",
        "contrast.shift_mode": "none",
        "entropy.weight": 0,
    },
    "sp": {"contrast.level": "image", "entropy.weight": 0},
    "mem": {"contrast.level": "none"},
    "imagewise_all": {"contrast.level": "image"},
    "pw": {"entropy.weight": 0},
    "clicv2": {},
    "pw_without_sp": {"contrast.shift_mode": "none"},
}


def test_the_table_switches_the_parts_that_the_method_names():
    assert row_changes() == PARTS
    assert {f"ablation/{name}" for name in (*TABLE, *LEVERS)} == {
        n for n in shipped_recipes() if n.startswith("ablation/")
    }


def test_rows_are_the_table_where_nothing_is_varied():
    assert [row.name for row in choose_rows()] == [row.name for row in choose_rows("table")] == list(PARTS)
    assert choose_rows("mem, clicv2,mem") == [Row("mem", {"contrast.level": '"none"'}), Row("clicv2", {})]
    assert choose_rows(["pw"])[0].overrides == ["entropy.weight=0.0"]
    assert [row.name for row in choose_rows("levers,pw,clic")] == [*LEVERS, "pw"]


@pytest.mark.parametrize("base", ["ablation/clicv2", "quickstart"])
def test_every_lever_is_a_valid_recipe_that_changes_something(base):
    whole = load_recipe(base)
    for row in choose_rows("levers"):
        recipe = load_recipe(base, row.overrides)
        changed = row_changes([row.name])[row.name]
        assert changed and all(flat(recipe.model_dump())[key] == value for key, value in changed.items())
        assert recipe.train == whole.train and recipe.encoder == whole.encoder


def test_varied_keys_make_a_row_for_each_combination():
    varied = choose_rows(vary=["contrast.negatives=all,same_position", "seed_free=1,2"])
    assert [row.name for row in varied] == [
        "contrast.negatives=all seed_free=1",
        "contrast.negatives=all seed_free=2",
        "contrast.negatives=same_position seed_free=1",
        "contrast.negatives=same_position seed_free=2",
    ]
    assert varied[1].changes == {"contrast.negatives": "all", "seed_free": "2"}
    both = choose_rows("mem,clicv2", ["train.steps=1,2"])
    assert [row.name for row in both] == [f"{a} train.steps={b}" for a in ("mem", "clicv2") for b in (1, 2)]
    assert both[0].overrides == ['contrast.level="none"', "train.steps=1"]


@pytest.mark.parametrize(
    ("rows", "vary", "message"),
    [
        ("mme", (), "--rows mme: there is no such row; did you mean mem"),
        (None, ["contrast.negatives"], "write it as section.key=a,b,c"),
        (None, ["contrast.negatives=all,"], "write it as section.key=a,b,c"),
        (None, ["contrast..negatives=all"], "write it as section.key=a,b,c"),
        (None, ["a.b=1", "a.b=2"], "--vary a.b: is given twice"),
        (None, ["seed=1,2"], "how many seeds is --seeds"),
        (None, ["run.dir=a,b"], "no part of the method"),
        ("clicv2,mem", ["contrast.level=patch,image"], '--vary contrast.level: the row mem sets it to "none"'),
        ("table", ["train.steps=5,6"], "--vary train.steps: the row random sets it to 0"),
    ],
)
def test_mistakes(rows, vary, message):
    with pytest.raises(UserError, match=message) as error:
        choose_rows(rows, vary)
    assert "\n" not in str(error.value)
