import re

import pytest

from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.schema import Contrast, Entropy
from clicv2_keras.training import measured_cost
from clicv2_keras.training.plan import EFFICIENCY, describe_run
from clicv2_keras.training.run import train
from clicv2_keras.utils.errors import UserError


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(5, "5 s"), (100, "100 s"), (140, "2.3 min"), (600, "10 min"), (10000, "2.8 h"), (1e6, "12 days")],
)
def test_the_time_is_that_of_the_flops_at_the_measured_rate(monkeypatch, seconds, told):
    recipe = load_recipe("quickstart")
    flops = count_cost(recipe).flops_per_image * recipe.train.batch_size * recipe.train.steps
    asked = []

    def rate(*arguments):
        asked.append(arguments)
        return flops / EFFICIENCY / seconds

    monkeypatch.setattr(measured_cost, "product_rate", rate)
    line = describe_run(recipe).splitlines()[-1]
    assert line.startswith(f"time        about {told} on ") and f"about {EFFICIENCY:.0%} of that" in line
    assert asked == [(32 * 36, 192, "float32")]


def test_the_rate_is_measured_on_this_device():
    rate = measured_cost.product_rate(1152, 192, "bfloat16")
    assert 1e7 < rate < 1e16
    line = describe_run("quickstart", ["train.precision=bfloat16"]).splitlines()[-1]
    assert float(re.search(r"reach (\S+) GFLOP/s", line)[1]) == pytest.approx(rate / 1e9, rel=0.01)


def test_the_learning_rate_is_told_with_its_rule():
    assert "rate        0.000375 at its highest (1.5e-4 · batch_size / 256)" in describe_run(
        "quickstart", ["optimizer.learning_rate=null", "train.batch_size=640"]
    )
    assert "rate        0.001 at its highest\n" in describe_run("quickstart")


def test_a_recipe_at_hand_is_read_with_its_overrides(tmp_path):
    recipe, overrides = (
        load_recipe("quickstart"),
        ["train.steps=0", "data.num_images=16", f"run.dir={tmp_path / 'run'}"],
    )
    assert "steps       0 of 32 images: 0 images, 0 passes" in describe_run(recipe, overrides)
    wrong = recipe.model_copy(update={"contrast": Contrast(level="none"), "entropy": Entropy(weight=0)})
    for call in (describe_run, train):
        with pytest.raises(UserError, match="^quickstart: contrast.level: none, .* leaves nothing to learn"):
            call(wrong, overrides)
    assert not (tmp_path / "run").exists()
