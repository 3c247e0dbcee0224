import numpy as np
import pytest
from keras import ops

from clicv2_keras.layers import PatchEntropy, RandomViews
from clicv2_keras.layers.pixels import as_pixels, check_shape


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("black", "white"), [(0, 1), (-1, 1), (0, 255), (-2.0, 3.5)])
def test_floats_mean_what_the_caller_says(images, dtype, black, white):
    given = (black + images / 255 * (white - black)).astype(dtype)
    found = ops.convert_to_numpy(as_pixels(given, (black, white)))
    assert found.dtype == "float32"
    atol = 0.2 if dtype == "float16" else 1e-4
    np.testing.assert_allclose(found, images, atol=atol)


def test_what_lies_outside_the_range_is_not_clipped():
    found = as_pixels(np.array([-0.2, 1.2], "float32"), (0, 1))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [-51, 306], rtol=1e-6)


@pytest.mark.parametrize("value_range", [None, (0, 1)])
def test_bytes_are_grey_levels_whatever_floats_mean(images, value_range):
    np.testing.assert_array_equal(ops.convert_to_numpy(as_pixels(images, value_range)), images)


@pytest.mark.parametrize("taker", [as_pixels, RandomViews(16), PatchEntropy(8), PatchEntropy(8).of_patches])
def test_another_type_is_refused_in_one_line_that_says_what_to_do(images, taker):
    with pytest.raises(ValueError, match=r"got float32: convert them, by \(255 \* images\).round\(\)") as refused:
        taker(ops.convert_to_tensor(images / 255, "float32"))
    with pytest.raises(ValueError, match=r"got int32: convert them, by astype\('uint8'\)\."):
        taker(ops.convert_to_tensor(images, "int32"))
    if taker is as_pixels:
        assert "\n" not in str(refused.value) and "value_range=(0, 1)" in str(refused.value)
        with pytest.raises(ValueError, match="got int32"):
            taker(images.astype("int32"), (0, 255))


@pytest.mark.parametrize("shape", [(4, 32, 32, 1), (4, 32, 32, 4), (32, 32, 3), (4, 64, 64, 3), (4, 32, 64, 3)])
def test_another_shape_is_refused_in_one_line_that_says_what_to_do(shape):
    images = np.zeros(shape, "uint8")
    if shape[-1] == 3 and len(shape) == 4:
        check_shape(images)
    else:
        with pytest.raises(ValueError, match=r"shape \(B, H, W, 3\), got "):
            check_shape(images)
    wanted = r"shape \(B, 32, 32, 3\), got .*: resize each by Pillow's convert\('RGB'\).resize\(\(32, 32\), .*\)\.$"
    with pytest.raises(ValueError, match=wanted):
        check_shape(images, 32)
