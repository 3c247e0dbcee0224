import numpy as np
import pytest
from PIL import Image, ImageFilter

from clicv2_keras.training.pixel_measures import count_colors, count_segments, counted_complexity, pixel_measures
from clicv2_keras.utils.procedural import procedural_image


def complexity(image):
    return counted_complexity(pixel_measures(image))


@pytest.fixture
def stripes():
    """Eight flat stripes of eight colours, far apart."""
    colors = np.array([[255 * bool(i & 4), 255 * bool(i & 2), 255 * bool(i & 1)] for i in range(8)], "uint8")
    return Image.fromarray(np.repeat(colors, 16, axis=0)[:, None].repeat(128, axis=1))


def test_counts_what_is_there(stripes):
    assert count_colors(stripes) == 8
    assert 8 <= count_segments(stripes) < 80  # a border may be a segment too
    blank = Image.new("RGB", (300, 200), (90, 120, 30))
    assert count_segments(blank) == count_colors(blank) == 1
    assert complexity(blank) < 1e-6 < complexity(stripes) < 0.1


def test_measures_are_finite_even_of_nothing(stripes):
    for image in (stripes, Image.new("RGB", (5, 3))):
        assert np.isfinite(list(pixel_measures(image).values())).all()
    assert list(pixel_measures(image)) == list(pixel_measures(stripes))


def test_rises_with_known_complexity_and_falls_with_blur():
    pictures, known = zip(*(procedural_image(10**11 + i, 128) for i in range(40)), strict=True)
    scores = [complexity(Image.fromarray(picture)) for picture in pictures]
    assert np.corrcoef(scores, known)[0, 1] > 0.4
    busiest = Image.fromarray(pictures[int(np.argmax(scores))])
    assert complexity(busiest.filter(ImageFilter.GaussianBlur(4))) < max(scores) - 0.2
