"""Layers in files and in half precision; that configs are complete: tests/models/test_config.py."""

import keras
import numpy as np
import pytest
from keras import ops

from clicv2_keras import layers


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_keras_file_round_trip(policy, tmp_path, rng):
    model = keras.Sequential(
        [
            keras.Input((5, 8)),
            layers.TransformerBlock(num_heads=2, dtype=policy),
            layers.ProjectionHead(depth=2, hidden=6, output=4, dtype=policy),
        ]
    )
    x = rng.normal(size=(8, 5, 8)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    assert str(expected.dtype) == ("float32" if policy == "float32" else "bfloat16")


def test_block_in_half_precision_stays_near_single(rng):
    x = rng.normal(size=(4, 9, 32)).astype("float32")
    wide, half = layers.TransformerBlock(4), layers.TransformerBlock(4, dtype="mixed_bfloat16")
    wide.build(x.shape)
    half.build(x.shape)
    half.set_weights(wide.get_weights())
    difference = ops.convert_to_numpy(ops.cast(half(x), "float32") - wide(x))
    assert np.abs(difference).max() < 0.05
