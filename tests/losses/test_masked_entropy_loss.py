import numpy as np
from keras import ops

from clicv2_keras.losses import MaskedEntropyLoss


def test_agrees_with_numpy_over_steps(rng):
    loss = MaskedEntropyLoss(momentum=0.5)
    mean, variance = 0.0, 1.0
    for update in range(1, 5):
        predictions = rng.normal(size=(4, 6)).astype("float32")
        targets = rng.random((4, 6)).astype("float32") ** update
        step = max(1 / update, 0.5)
        mean += step * (targets.mean() - mean)
        variance += step * (targets.var() - variance)
        expected = np.mean((predictions - (targets - mean) / np.sqrt(variance)) ** 2)
        np.testing.assert_allclose(float(loss(predictions, targets, training=True)), expected, rtol=1e-4)
        # Without training the statistics stay.
        np.testing.assert_allclose(float(loss(predictions, targets)), expected, rtol=1e-4)


def test_several_statistics_are_standardised_each_by_itself(rng):
    targets = rng.random((4, 6, 3)).astype("float32") * [1, 0.1, 0.01] + [0, 0.5, 0.9]
    predictions = rng.normal(size=(4, 6, 3)).astype("float32")
    loss = MaskedEntropyLoss(statistics=3)
    expected = np.mean((predictions - (targets - targets.mean((0, 1))) / targets.std((0, 1))) ** 2)
    np.testing.assert_allclose(float(loss(predictions, targets, training=True)), expected, rtol=1e-3)
    restored = ops.convert_to_numpy(loss.restore((targets - targets.mean((0, 1))) / targets.std((0, 1))))
    np.testing.assert_allclose(restored, targets, atol=1e-4)


def test_the_statistics_are_those_of_the_population(rng):
    population = rng.random((8, 6)).astype("float32")
    targets, zero = population[:4] ** 2, np.zeros((4, 6), "float32")
    expected = np.mean(((targets - population.mean()) / population.std()) ** 2)
    loss = MaskedEntropyLoss()(zero, targets, training=True, population=population)
    np.testing.assert_allclose(float(loss), expected, rtol=1e-4)


def test_predicting_the_mean_costs_one(rng):
    targets = rng.random((64, 16)).astype("float32")
    np.testing.assert_allclose(float(MaskedEntropyLoss()(np.zeros_like(targets), targets, training=True)), 1, rtol=1e-4)


def test_restore_undoes_the_standardisation(rng):
    loss = MaskedEntropyLoss()
    targets = rng.random((64, 16)).astype("float32")
    loss(np.zeros_like(targets), targets, training=True)
    standardized = (targets - targets.mean()) / targets.std()
    np.testing.assert_allclose(ops.convert_to_numpy(loss.restore(standardized)), targets, atol=1e-5)
    assert float(loss.restore(np.float32([99.0]))[0]) == 1


def test_flat_targets_do_not_divide_by_zero():
    targets = np.full((4, 6), 0.25, "float32")
    assert np.isfinite(float(MaskedEntropyLoss()(np.zeros_like(targets), targets, training=True)))
