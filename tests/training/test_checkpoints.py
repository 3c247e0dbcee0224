import os

import keras
import numpy as np
import pytest

from clicv2_keras.training.checkpoints import Checkpoints
from clicv2_keras.utils.errors import UserError


def small_model(width=4):
    model = keras.Sequential([keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(width)])
    model.compile("adam", "mse", metrics=["mae"])
    model.build((None, 3))
    model.optimizer.build(model.trainable_variables)
    return model


def values(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def draw(model):
    """Give every variable a value of its own."""
    rng = np.random.default_rng(7)
    for variable in [*model.variables, *model.optimizer.variables, *model.metrics_variables]:
        variable.assign(rng.integers(0, 100, variable.shape).astype(variable.dtype))


@pytest.fixture(scope="module")
def model():
    model = small_model()
    draw(model)
    return model


@pytest.fixture
def checkpoints(tmp_path, model):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (3, 6, 9):
        checkpoints.save(model, step)
    return checkpoints


def test_everything_that_training_changes_comes_back(checkpoints, model):
    other = small_model()
    checkpoints.load(other, 9)
    for mine, theirs in zip(values(other), values(model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert any(value.dtype.kind in "iu" and value.any() for value in values(other))  # the random state


def test_a_metric_that_came_after_the_checkpoint_begins_at_0(checkpoints, model):
    other = small_model()
    other.compile("adam", "mse", metrics=["mae", "mse"])
    other.optimizer.build(other.trainable_variables)
    other.evaluate(np.zeros((1, 3)), np.zeros((1, 4)), verbose=0)  # makes the metrics
    other.reset_metrics()
    checkpoints.load(other, 9)
    there, mine = values(model), values(other)
    assert len(mine) > len(there)
    for old, new in zip(there, mine, strict=False):
        np.testing.assert_array_equal(old, new)
    assert not any(value.any() for value in mine[len(there) :])


def test_the_last_k_are_kept(checkpoints):
    assert checkpoints.steps() == [6, 9]


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def cut_last_byte(path):
    os.truncate(path, path.stat().st_size - 1)


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"\x93NUMPY") + 128] ^= 1  # behind the header of the first array
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, cut_last_byte, zero, flip_a_bit])
def test_a_broken_checkpoint_is_passed_over_in_one_line(checkpoints, model, damage):
    assert checkpoints.set_broken_aside() == []
    damage(checkpoints.path(9))
    (line,) = checkpoints.set_broken_aside()
    assert "step_00000009.npz is broken" in line and "going on from step 6" in line and "\n" not in line
    assert checkpoints.steps() == [6]
    checkpoints.save(model, 7)  # must not drop 6 for the sake of the broken one
    assert checkpoints.steps() == [6, 7]


def test_where_all_are_broken_it_says_that_it_begins_anew(checkpoints):
    for step in (6, 9):
        zero(checkpoints.path(step))
    assert "going on from step 0" in checkpoints.set_broken_aside()[-1]
    assert checkpoints.steps() == []


def test_a_full_disk_is_told_with_its_file_and_costs_no_checkpoint(checkpoints, model):
    (checkpoints.folder / "unfinished_step_00000012.npz").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        checkpoints.save(model, 12)
    assert caught.value.filename == str(checkpoints.path(12))
    assert sorted(os.listdir(checkpoints.folder)) == ["step_00000006.npz", "step_00000009.npz"]
    assert checkpoints.set_broken_aside() == []


def test_the_checkpoint_of_another_model_is_refused(checkpoints):
    other = keras.Sequential([keras.layers.LayerNormalization()])
    other.compile("adam")
    other.build((None, 3))
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(UserError, match="other variables"):
        checkpoints.load(other, 9)
    # Of the same names, and other shapes: before anything is changed.
    wider = small_model(width=5)
    before = values(wider)
    with pytest.raises(UserError, match="other variables"):
        checkpoints.load(wider, 9)
    for one, two in zip(before, values(wider), strict=True):
        np.testing.assert_array_equal(one, two)
