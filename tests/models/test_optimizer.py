import keras
import numpy as np
import pytest
from keras import ops

from clicv2_keras import models
from clicv2_keras.models.optimizer import ConstantThenDecay, PerOptimizerStep, adamw

STEPS, WARMUP, PEAK = 10, 3, 0.1


def run(micro_batches):
    """The rate and the weights at every step of a whole run, in which all micro-batches of a step are alike."""
    matrix, vector = (keras.Variable(np.full(shape, 3.0, "float32")) for shape in ((2, 2), 2))
    optimizer = adamw(
        [matrix, vector], PEAK, STEPS, warmup=WARMUP, weight_decay=0.2, beta_2=0.9, micro_batches=micro_batches
    )
    optimizer.build([matrix, vector])
    rates, weights = [], []
    for step in range(STEPS):
        gradients = [np.sin(np.arange(4.0).reshape(2, 2) + step), np.cos(np.arange(2.0) + step)]
        for _ in range(micro_batches):
            rates.append(float(ops.convert_to_numpy(optimizer.learning_rate)))
            optimizer.apply([ops.convert_to_tensor(g.astype("float32")) for g in gradients], [matrix, vector])
        weights.append(np.concatenate([ops.convert_to_numpy(v).ravel() for v in (matrix, vector)]))
    return np.array(rates).reshape(STEPS, micro_batches), np.array(weights)


@pytest.mark.usefixtures("one_step")
def test_the_rate_of_every_step_is_that_of_the_recipe_whatever_the_micro_batches():
    steps = np.arange(STEPS)
    rise = PEAK * (1 + steps) / (WARMUP + 1)
    fall = PEAK * (1 + np.cos(np.pi * (steps - WARMUP) / (STEPS - WARMUP))) / 2
    expected = np.where(steps < WARMUP, rise, fall)
    _, alone = run(1)
    for micro_batches in (1, 2, 4):
        rates, weights = run(micro_batches)
        np.testing.assert_allclose(rates, np.repeat(expected[:, None], micro_batches, axis=1), rtol=1e-5)
        np.testing.assert_allclose(weights, alone, rtol=1e-5)


def test_vectors_do_not_decay():
    variables = [keras.Variable(np.full(shape, 2.0, "float32")) for shape in ((3, 2), (2, 1, 2), (3,), ())]
    optimizer = adamw(variables, 0.1, 10, weight_decay=0.5)
    optimizer.build(variables)
    optimizer.apply([ops.zeros(v.shape) for v in variables], variables)
    for variable, expected in zip(variables, (2 - 2 * 0.1 * 0.5, 2 - 2 * 0.1 * 0.5, 2, 2), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), expected, rtol=1e-6)


@pytest.mark.usefixtures("one_step")
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_the_average_of_the_weights_lies_beside_them(micro_batches):
    variable = keras.Variable(np.full((2, 2), 3.0, "float32"))
    optimizer = adamw([variable], 0.1, 10, weight_decay=0.0, average=0.5, micro_batches=micro_batches)
    optimizer.build([variable])
    weights, expected = [], None
    for step in range(4):
        gradient = ops.convert_to_tensor(np.sin(np.arange(4.0).reshape(2, 2) + step).astype("float32"))
        for _ in range(micro_batches):
            optimizer.apply([gradient], [variable])
            weights.append(ops.convert_to_numpy(variable).copy())
            keep = 0.5 ** (1 / micro_batches) if step else 0.0
            expected = weights[-1] if expected is None else keep * expected + (1 - keep) * weights[-1]
    optimizer.finalize_variable_values([variable])
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), weights[-1])
    (average,) = optimizer._model_variables_moving_average
    np.testing.assert_allclose(ops.convert_to_numpy(average), expected, rtol=1e-5)
    assert np.abs(expected - weights[-1]).max() > 1e-3


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_round_trip(micro_batches):
    optimizer = adamw([], 0.1, 10, warmup=2, weight_decay=0.5, micro_batches=micro_batches)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
    schedule = again._learning_rate
    assert isinstance(schedule, PerOptimizerStep) == (micro_batches > 1)
    np.testing.assert_allclose(float(schedule(2 * micro_batches)), 0.1, rtol=1e-6)


def test_constant_then_decay():
    optimizer = adamw([], 0.1, 20, warmup=3, decay=8, weight_decay=0.0)
    schedule = optimizer._learning_rate
    rates = [float(ops.convert_to_numpy(schedule(step))) for step in range(21)]
    expected = [0.025, 0.05, 0.075, *[0.1] * 10, *(0.1 * (1 - np.sqrt(np.arange(1, 9) / 8)))]
    np.testing.assert_allclose(rates, expected, atol=1e-7)
    level = ConstantThenDecay(0.1, 20, decay=0)
    assert float(ops.convert_to_numpy(level(10**6))) == pytest.approx(0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config()


def test_slow_variables_learn_at_a_share_of_the_rate_and_do_not_decay():
    fast, other = (keras.Variable(np.full((2, 2), 3.0, "float32"), name=name) for name in ("fast", "other"))
    optimizer = adamw([fast, other], 0.1, 10, weight_decay=0.0, slow=[other], share=0.2)
    optimizer.build([fast, other])
    optimizer.apply([ops.ones((2, 2))] * 2, [fast, other])
    moved = [3 - float(ops.convert_to_numpy(v)[0, 0]) for v in (fast, other)]
    np.testing.assert_allclose(moved, [0.1, 0.02], rtol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config() and again.slow == ["other"]
    fresh, pretrained = (keras.Variable(np.full((2, 2), 3.0, "float32"), name=name) for name in ("fresh", "pretrained"))
    optimizer = adamw([fresh, pretrained], 0.1, 10, weight_decay=0.5, slow=[pretrained], share=1.0)
    optimizer.build([fresh, pretrained])
    optimizer.apply([ops.zeros((2, 2))] * 2, [fresh, pretrained])
    assert ops.convert_to_numpy(fresh)[0, 0] < 3
    np.testing.assert_array_equal(ops.convert_to_numpy(pretrained), 3.0)


def test_a_saved_run_needs_no_more_than_the_models():
    """Keras finds what a file names once its class is registered: by the import of the room that every model is in."""
    for name in ("ConstantThenDecay", "PartlySlowAdamW", "PerOptimizerStep"):
        assert getattr(models, name).__module__ == "clicv2_keras.models.optimizer"
