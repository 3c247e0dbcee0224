import re

import numpy as np
import pytest
from click.testing import CliRunner

from clicv2_keras.cli.main import main
from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.schema import Contrast, Entropy
from clicv2_keras.training import measured_cost
from clicv2_keras.training.plan import EFFICIENCY, describe_run
from clicv2_keras.training.run import train
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.utils.errors import UserError


@pytest.fixture(autouse=True)
def no_runs_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


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


@pytest.fixture
def stopped(tmp_path):
    """The folder of a quickstart that was stopped after step 300, whose checkpoint is broken; the one before is not."""
    folder = RunFolder(load_recipe("quickstart", [f"run.dir={tmp_path / 'stopped'}"]))
    folder.open(resume=False)
    folder.close()
    folder.checkpoints.folder.mkdir()
    np.savez(folder.checkpoints.path(200), weight=np.zeros(1))
    folder.checkpoints.path(300).write_bytes(b"broken")
    return folder.path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_left_of_a_run_is_told_and_its_folder_stays_as_it_was(stopped, monkeypatch):
    flops = count_cost(load_recipe("quickstart")).flops_per_image * 32
    monkeypatch.setattr(measured_cost, "product_rate", lambda *_: flops / EFFICIENCY)  # a step a second
    checkpoint, before = stopped / "checkpoints" / "step_00000200.npz", contents(stopped)
    resumed = describe_run("quickstart", [f"run.dir={stopped}"], resume=True)
    branch = describe_run("quickstart", ["run.dir=branch"], begin=f"{stopped}@200")
    for told in (resumed, branch):
        assert f"start       at step 200, with the weights and the optimizer of {checkpoint}\n" in told
        assert "steps       160 of 32 images, of 360 in all: 5,120 images, 1.25 passes\n" in told
        assert "time        about 2.7 min on" in told and f"{flops * 160 / 1e15:.3g} P in all" in told
    # What has begun goes on as it is, as in a job script that names both, when the other run has dropped the step.
    both = describe_run("quickstart", [f"run.dir={stopped}"], resume=True, begin=f"{stopped}@100")
    assert both == resumed and contents(stopped) == before
    nothing = describe_run("quickstart", resume=True)
    assert "start       at step 0: runs/quickstart has no checkpoint" in nothing and "360 of 32 images: " in nothing
    assert "\nstart " not in describe_run("quickstart") and not list(stopped.parent.glob("[br]*"))


def test_what_train_would_refuse_is_refused_without_it(stopped):
    folder = ["--set", f"run.dir={stopped}"]
    for arguments, message in (
        (["--resume", *folder, "--set", "seed=1"], "was started with seed 0, not 1"),
        (["--from", "nowhere"], "nowhere: there is no run with a checkpoint"),
        (["--from", f"{stopped}@7"], f"{stopped}@7: has no checkpoint of step 7; there are 200, 300"),
        (["--from", stopped], f"{stopped}: step_00000300.npz is broken; name another step"),
        (["--from", f"{stopped}@200", "--set", "train.steps=200"], "is at step 200 already"),
    ):
        for more in (["--dry-run"], []):
            result = CliRunner().invoke(main, ["train", "quickstart", *map(str, arguments), *more])
            assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
            assert message in result.stderr


def test_what_a_run_costs_is_told_beside_one_that_is_there(stopped):
    told = describe_run("quickstart", [f"run.dir={stopped}"])
    assert f"start       not here: {stopped} holds a run; add --resume" in told and "360 of 32 images: " in told
    with pytest.raises(UserError, match="holds a run; add --resume"):
        train("quickstart", [f"run.dir={stopped}"])


def test_the_time_of_several_devices_is_said_to_be_that_of_one():
    told = describe_run("quickstart", ["distribution.strategy=data_parallel"])
    assert ", were one device to do it all: matrix products reach" in told.splitlines()[-1]
