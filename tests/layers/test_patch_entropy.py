import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import PatchEntropy


@pytest.mark.parametrize("bins", [2, 32, 256])
def test_agrees_with_numpy(images, bins):
    images[1] //= 16
    entropy = ops.convert_to_numpy(PatchEntropy(8, bins)(images))
    np.testing.assert_allclose(entropy, reference.patch_entropy(images, 8, bins), atol=1e-5)
    assert entropy.dtype == "float32"


def test_closed_forms():
    flat = np.full((1, 16, 16, 3), 77, "uint8")
    halves = flat.copy()
    halves[:, :8] = 200
    every_grey = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1).repeat(3, axis=3)
    entropies = [float(PatchEntropy(16)(x)[0, 0]) for x in (flat, halves, every_grey)]
    np.testing.assert_allclose(entropies, [0, 1 / 8, 1], atol=1e-6)


def test_noise_saturates_below_one(rng):
    noise = rng.integers(0, 256, (64, 16, 16, 1)).astype("uint8").repeat(3, axis=3)
    assert 7.0 < 8 * float(ops.mean(PatchEntropy(16)(noise))) < 7.4


def test_wrong_bins():
    with pytest.raises(ValueError, match="bins must be 2 to 256"):
        PatchEntropy(8, bins=1)
