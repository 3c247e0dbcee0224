import numpy as np
import pytest

from clicv2_keras.layers import sincos_positions


def test_codes_are_sines_and_cosines_of_row_and_column():
    codes = sincos_positions((2, 3), 8)
    frequency = 10000.0 ** (-np.arange(2) / 2)
    row, column = 1, 2
    expected = [f(place * frequency) for place in (row, column) for f in (np.sin, np.cos)]
    np.testing.assert_allclose(codes[row * 3 + column], np.concatenate(expected), atol=1e-6)


def test_another_grid_spans_the_same_extent():
    trained = sincos_positions((4, 4), 16)
    finer = sincos_positions((12, 12), 16, trained_grid=(4, 4)).reshape(12, 12, 16)
    # The middle of three fine patches lies on the centre of a coarse one.
    np.testing.assert_allclose(finer[1::3, 1::3].reshape(16, 16), trained, atol=1e-5)


def test_wrong_width():
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos_positions((2, 2), 6)
