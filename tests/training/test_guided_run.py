"""A hybrid that is guided by a teacher, by a recipe alone."""

import csv

import keras
import numpy as np
import pytest
from tiny_recipe import TINY

import clicv2_keras
from clicv2_keras.data.sources import FileSource
from clicv2_keras.data.subset import split_held_out
from clicv2_keras.models.find_model import find_model
from clicv2_keras.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")


@pytest.fixture(scope="module")
def guided(network, jpegs):
    """Overrides of a recipe that is guided alone, on a stem, its teacher in a file."""
    return [
        *TINY,
        f"data.path={jpegs}",
        "data.held_out=3",
        f"encoder.stem={network}",
        f"guide.teacher={network}",
        "guide.grid_dim=5",
        "guide.pooled_dim=6",
        "guide.sample=9",
        "contrast.level=none",
        "entropy.weight=0",
        "train.steps=4",
        "run.log_every=2",
        "run.checkpoint_every=2",
        "probe.every=2",
    ]


def train(folder, overrides, *more, **arguments):
    overrides = [*overrides, f"run.dir={folder}", *more]
    return clicv2_keras.train("quickstart", overrides, progress=False, **arguments)


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in r.items() if k not in ("images_per_second", "data_wait")} for r in csv.DictReader(file)
        ]


def assert_no_weights_are_those_of(one, other):
    for mine, theirs in zip(one.trainable_weights, other.trainable_weights, strict=True):
        assert (keras.ops.convert_to_numpy(mine) != keras.ops.convert_to_numpy(theirs)).any(), mine.path


@pytest.mark.slow
def test_a_guided_run_and_a_branch_from_it(tmp_path, guided, scored, eagerly):
    guided = [*guided, "optimizer.average=0.5", f"probe={{dataset: csv, root: {scored}, every: 2}}"]
    whole = train(tmp_path / "whole", guided)
    assert all(row["average_probe_srcc"] for row in rows(tmp_path / "whole"))
    assert rows(tmp_path / "whole")[-1]["average_probe_pcc"] != rows(tmp_path / "whole")[-1]["probe_pcc"]
    assert {path.name for path in (tmp_path / "whole" / "average").iterdir()} == {"probe.csv", "encoder_best.keras"}
    for row in rows(tmp_path / "whole"):
        for name in ("guide_loss", "guide_grid", "guide_pooled", "held_out_grid", "held_out_pooled"):
            assert np.isfinite(float(row[name]))
        assert row["average_held_out_pooled"] not in ("", row["held_out_pooled"])
        assert row["contrastive_loss"] == row["entropy_loss"] == row["retrieval"] == ""
    encoder = find_model(tmp_path / "whole" / "encoder.keras")
    assert encoder.stem.width == 28 and not encoder.stem.trainable_variables
    assert find_model(tmp_path / "whole").guide.teacher is None
    # The statistics were measured.
    assert np.ptp(keras.ops.convert_to_numpy(encoder.stem.deviation)) > 0

    # The average lies beside the weights, and did not replace them.
    assert_no_weights_are_those_of(find_model(tmp_path / "whole" / "encoder_ema.keras"), encoder)
    np.testing.assert_array_equal(encoder.get_weights()[0], whole.model.encoder.get_weights()[0])

    before = {path: path.read_bytes() for path in sorted((tmp_path / "whole").rglob("*")) if path.is_file()}
    branch = train(tmp_path / "branch", guided, begin=f"{tmp_path / 'whole'}@2")
    assert {path: path.read_bytes() for path in before} == before
    # The same command again, when the other run has dropped that step: what has begun goes on.
    train(tmp_path / "branch", guided, resume=True, begin=f"{tmp_path / 'whole'}@1")
    assert rows(tmp_path / "branch") == rows(tmp_path / "whole")[1:]
    for one, other in zip(whole.model.encoder.get_weights(), branch.model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    decay = ("train.steps=6", "optimizer.schedule=constant_then_decay", "optimizer.decay_steps=2")
    ended = train(tmp_path / "decay", guided, *decay, begin=tmp_path / "whole")
    assert [row["step"] for row in rows(tmp_path / "decay")] == ["6"]
    assert float(rows(tmp_path / "decay")[0]["learning_rate"]) == 0
    assert ended.model.optimizer.iterations == 6

    named = tmp_path / "whole@2"
    named.mkdir()
    with pytest.raises(UserError, match="there is no run with a checkpoint"):
        train(tmp_path / "none", guided, begin=named)
    named.rmdir()
    for place, message in (
        (f"{tmp_path / 'whole'}@3", "has no checkpoint of step 3; there are 2, 4"),
        (tmp_path / "nowhere", "there is no run with a checkpoint"),
        (tmp_path / "whole", "is at step 4 already"),
    ):
        with pytest.raises(UserError, match=message):
            train(tmp_path / "none", guided, begin=place)
        assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match="holds other variables than the model has"):
        train(tmp_path / "other", guided, "encoder.depth=2", "train.steps=6", begin=tmp_path / "whole")
    assert not (tmp_path / "other").exists()


def test_all_branches_together_and_a_stem_that_is_trained(tmp_path, guided, eagerly):
    with pytest.raises(UserError, match="optimizer.average: the contrast's teacher is an average"):
        train(tmp_path / "run", guided, "contrast.level=patch", "optimizer.average=0.9")
    more = ("contrast.level=patch", "entropy.weight=1", "encoder.stem_rate=0.1", "train.steps=1", "run.log_every=1")
    run = train(tmp_path / "run", guided, *more)
    row = rows(tmp_path / "run")[0]
    parts = [float(row[name]) for name in ("contrastive_loss", "entropy_loss", "guide_loss")]
    np.testing.assert_allclose(float(row["loss"]), sum(parts), rtol=1e-4)
    assert run.model.encoder.stem.trainable_variables


def test_held_out_images_are_the_same_wherever_they_lie(jpegs, tmp_path):
    source = FileSource.from_folder(jpegs)
    train, out = split_held_out(source, 4)
    assert len(train) == 8 and len(out) == 4
    names = {name(i) for part in (train, out) for i, name in ((i, part.name) for i in range(len(part)))}
    assert names == set(source.names)
    elsewhere = FileSource(source.paths[::-1], [f"elsewhere/{path.name}" for path in source.paths[::-1]])
    chosen = {path.name for path in split_held_out(elsewhere, 4)[1].paths}
    assert chosen == {path.name for path in out.paths}
    order = train.order(np.random.default_rng(0))
    assert sorted(order) == list(range(8))


def test_a_run_needs_images_that_are_not_held_out(guided, tmp_path):
    with pytest.raises(UserError, match="data.held_out: 12 of 12 images leaves none"):
        train(tmp_path / "run", guided, "data.held_out=12")
