import numpy as np
import pytest
from keras import ops

from clicv2_keras.layers import BatchStandardization, ProjectionHead


@pytest.mark.parametrize(("statistics", "axes"), [("all", (0, 1)), ("position", (0,))])
def test_agrees_with_numpy(rng, statistics, axes):
    x = rng.normal(3, 2, (16, 5, 8)).astype("float32")
    layer = BatchStandardization(statistics=statistics)
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 8)).astype("float32")
    layer.set_weights([gamma, beta])
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5) * gamma + beta
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-4)


def test_has_no_memory_and_training_changes_nothing(rng):
    layer = BatchStandardization(affine=False)
    x = rng.normal(3, 2, (16, 5, 8)).astype("float32")
    layer(100 * x, training=True)
    before = ops.convert_to_numpy(layer(x, training=True))
    layer.trainable = False
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=False)), before)
    np.testing.assert_allclose(before.std((0, 1)), 1, atol=1e-3)
    assert layer.weights == []


def test_half_precision_keeps_statistics_in_float32(rng):
    x = rng.normal(300, 1, (64, 5, 8)).astype("float32")
    out = BatchStandardization(affine=False, dtype="mixed_bfloat16", autocast=False)(x)
    assert out.dtype == "bfloat16" or str(out.dtype) == "torch.bfloat16"
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(out, "float32")).std((0, 1)), 1, atol=0.02)


def test_head_is_dense_standardised_relu(rng):
    head = ProjectionHead(depth=2, hidden=6, output=4)
    x = rng.normal(size=(8, 3, 5)).astype("float32")
    head.build(x.shape)
    head.set_weights([rng.normal(size=w.shape).astype("float32") for w in head.get_weights()])
    (first,), (last,) = (dense.get_weights() for dense in head.dense)
    gamma, beta = head.norms[0].get_weights()

    def standardise(x):
        return (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5)

    expected = standardise(np.maximum(standardise(x @ first) * gamma + beta, 0) @ last)
    np.testing.assert_allclose(ops.convert_to_numpy(head(x)), expected, atol=1e-4)


def test_wrong_statistics():
    with pytest.raises(ValueError, match="statistics must be one of all, position"):
        BatchStandardization(statistics="group")
