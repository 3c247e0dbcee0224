import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import PatchEntropy, PatchStatistics
from clicv2_keras.recipe.shapes import STATISTICS


@pytest.fixture
def varied(images):
    """Noise, faint noise, a ramp and a flat image, (4, 32, 32, 3)."""
    images[1] //= 16
    images[2] = (np.arange(32)[:, None, None] * np.array([7, 3, 5])).astype("uint8")
    images[3] = 77
    return images


@pytest.mark.parametrize("name", STATISTICS)
def test_agrees_with_numpy(varied, name):
    found = ops.convert_to_numpy(PatchStatistics(8, (name,), bins=64)(varied))
    squares = reference.patchify(varied, 8).reshape(4, 16, 8, 8, 3)
    expected = [[reference.patch_statistic(name, patch, 64) for patch in image] for image in squares]
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)
    assert found.dtype == "float32" and found.min() >= 0 and found.max() <= 1
    # More for what is more complex; few bins and colours take faint noise, of 16 levels, for none.
    noise, faint, ramp, flat = found[..., 0].mean(axis=1)
    assert noise > faint >= flat == 0 and noise > ramp > 0


def test_several_stand_side_by_side_and_entropy_is_that_of_its_layer(varied):
    names = ("deviation", "entropy", "colors")
    found = ops.convert_to_numpy(PatchStatistics(8, names, bins=32)(varied))
    for i, name in enumerate(names):
        alone = ops.convert_to_numpy(PatchStatistics(8, (name,), bins=32)(varied))
        np.testing.assert_array_equal(found[..., i], alone[..., 0])
    np.testing.assert_array_equal(found[..., 1], ops.convert_to_numpy(PatchEntropy(8, 32)(varied)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ("entropi",)}, "names must be some of entropy"),
        ({"names": ()}, "names must be some of"),
        ({"names": ("entropy_quarter",), "patch_size": 6}, "multiple of 4 pixels, got 6"),
        ({"bins": 1}, "bins must be 2 to 256"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatchStatistics(**{"patch_size": 8, **arguments})
