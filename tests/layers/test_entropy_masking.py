import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import EntropyMasking


def masks(layer, images, **arguments):
    return {k: ops.convert_to_numpy(v) for k, v in layer(images, **arguments).items()}


def test_patches_are_kept_by_least_noise(images, rng):
    noise = rng.random((4, 16)).astype("float32")
    out = masks(EntropyMasking(8, mask_ratio=0.75), images, noise=noise)
    order = np.argsort(noise, axis=1)
    np.testing.assert_array_equal(out["keep"], np.sort(order[:, :4], axis=1))
    np.testing.assert_array_equal(out["masked"], np.sort(order[:, 4:], axis=1))


def test_targets_are_the_entropies_of_the_masked_patches_alone(images):
    images[:, :8] //= 32
    out = masks(EntropyMasking(8, mask_ratio=0.5, bins=32, seed=0), images)
    entropy = reference.patch_entropy(images, 8, 32)
    np.testing.assert_allclose(out["targets"], np.take_along_axis(entropy, out["masked"], axis=1), atol=1e-5)
    np.testing.assert_allclose(out["entropy"], entropy, atol=1e-5)


def test_kept_and_masked_are_every_patch_once_and_change(images):
    layer = EntropyMasking(8, seed=0)
    first, second = masks(layer, images), masks(layer, images)
    both = np.sort(np.concatenate([first["keep"], first["masked"]], axis=1), axis=1)
    np.testing.assert_array_equal(both, np.tile(np.arange(16), (4, 1)))
    assert (first["keep"] != second["keep"]).any()
    assert len(np.unique(first["keep"], axis=0)) > 1, "each image draws its own mask"


@pytest.mark.parametrize(("ratio", "kept"), [(0.01, 15), (0.99, 1), (0.75, 4)])
def test_at_least_one_patch_on_either_side(images, ratio, kept):
    assert masks(EntropyMasking(8, mask_ratio=ratio), images)["keep"].shape == (4, kept)


@pytest.mark.parametrize(("patch", "kept"), [(8, 20), (4, 80)])
def test_a_mask_keeps_what_its_ratio_leaves(rng, patch, kept):
    images = rng.integers(0, 256, (2, 80, 80, 3)).astype("uint8")
    assert masks(EntropyMasking(patch, mask_ratio=0.8), images)["keep"].shape == (2, kept)


@pytest.mark.parametrize("ratio", [1.0, -0.1, [0.5, 1.0], []])
def test_wrong_ratio(ratio):
    with pytest.raises(ValueError, match="mask_ratio must lie between 0 and 1"):
        EntropyMasking(8, mask_ratio=ratio)


def test_of_several_ratios_each_call_has_its_own_and_0_hides_nothing(images):
    layer = EntropyMasking(8, mask_ratio=[0, 0.5, 0.75], seed=0)
    hidden = {ratio: masks(layer, images, mask_ratio=ratio)["masked"].shape[1] for ratio in (0, 0.5, 0.75)}
    assert hidden == {0: 0, 0.5: 8, 0.75: 12}
    assert masks(layer, images)["masked"].shape[1] == 12
    whole = masks(layer, images, mask_ratio=0)
    np.testing.assert_array_equal(whole["keep"], np.tile(np.arange(16), (4, 1)))
    assert whole["targets"].shape == (4, 0)


def test_several_statistics_are_those_of_the_same_patches(images):
    names = ("colors", "entropy", "deviation")
    out = masks(EntropyMasking(8, mask_ratio=0.5, bins=32, statistics=names, seed=0), images)
    assert out["targets"].shape == (4, 8, 3) and out["entropy"].shape == (4, 16, 3)
    np.testing.assert_allclose(out["entropy"][..., 1], reference.patch_entropy(images, 8, 32), atol=1e-5)
    np.testing.assert_array_equal(out["targets"], np.take_along_axis(out["entropy"], out["masked"][..., None], axis=1))
