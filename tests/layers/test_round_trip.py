"""Every layer and loss: its config is complete, and it computes in half precision and under jit."""

import keras
import numpy as np
import pytest
from keras import ops

from clicv2_keras import layers, losses

LAYERS = [
    layers.BatchStandardization(affine=False, statistics="position", epsilon=1e-3),
    layers.EntropyDecoder((2, 3), depth=1, width=8, outputs=2),
    layers.EntropyMasking(8, mask_ratio=[0, 0.5], bins=32, statistics=("entropy", "colors"), seed=3),
    layers.MeasureTargets(5),
    layers.OtherComplexity(("blur", "tile"), seed=6),
    layers.PatchEntropy(8, bins=32),
    layers.PatchReadOut(("token", "diversity")),
    layers.PatchStatistics(8, ("gradient", "entropy"), bins=16),
    layers.ProjectionHead(depth=2, hidden=6, output=4, statistics="position"),
    layers.RandomViews(16, views="two_crops", min_area=0.5, flip=False, jitter=0.1, grey=0.5, seed=4),
    layers.ShiftedPatchify(8, mode="roll", max_shift=3, seed=5),
    layers.TransformerBlock(num_heads=2, mlp_ratio=3),
    losses.MaskedEntropyLoss(momentum=0.9, statistics=2),
    losses.PatchContrastiveLoss(temperature=0.1, negatives="all"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_config_round_trip(layer):
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"] == f"clicv2_keras>{type(layer).__name__}"
    again = keras.saving.deserialize_keras_object(saved)
    assert again.get_config() == layer.get_config()


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
