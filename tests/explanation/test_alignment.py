"""A map lies where the upright image's pixels are, whatever the image's size and orientation."""

import numpy as np
import pytest
from PIL import Image

import clicv2_keras
from clicv2_keras.utils.images import open_rgb


def quarters(array):
    """The mean of each quarter: top left, top right, bottom left, bottom right."""
    rows, columns = array.shape[0] // 2, array.shape[1] // 2
    halves = (array[:rows], array[-rows:])
    return [float(part.mean()) for half in halves for part in (half[:, :columns], half[:, -columns:])]


@pytest.mark.parametrize("head", ["diversity", "entropy"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_busy_quarter_is_where_people_see_it(scorers, busy_corner, head, orientation):
    (explanation,) = clicv2_keras.explain(busy_corner(orientation=orientation), scorers[head], output=None)
    assert explanation.size == ((90, 60) if orientation < 5 else (60, 90)) == explanation.image.size
    at_pixels = explanation.at_pixels()
    assert at_pixels.shape == explanation.size[::-1] and at_pixels.dtype == np.float32
    busy, *flat = quarters(at_pixels)
    assert busy > 2 * max(flat)
    # The picture says the same: the colours hold the more green, the higher they are.
    overlay = explanation.overlay()
    assert overlay.size == explanation.size
    busy, *flat = quarters(np.asarray(overlay)[..., 1])
    assert busy > max(flat) + 20


def test_each_pixel_has_its_own_patch(scorers, busy_corner):
    # 8 x 8 patches over 90 x 60 pixels: the borders fall between pixels, and each pixel takes the patch of its centre.
    (explanation,) = clicv2_keras.explain(busy_corner(), scorers["diversity"], output=None)
    rows = (np.arange(60) + 0.5) * 8 // 60
    columns = (np.arange(90) + 0.5) * 8 // 90
    expected = explanation.map[rows.astype(int)[:, None], columns.astype(int)]
    np.testing.assert_array_equal(explanation.at_pixels(), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 320), (5000, 40)])
def test_the_maps_mean_is_the_score_at_any_size(scorers, tmp_path, rng, size):
    path = tmp_path / "image.png"
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3)).astype("uint8")).save(path)
    (explanation,) = clicv2_keras.explain([path], scorers["diversity"], output=None)
    assert abs(explanation.map.mean() - explanation.score) < 1e-5
    assert explanation.at_pixels().shape == (size[1], size[0])
    if size in ((1, 1), (640, 320), (5000, 40)):  # where patches have whole numbers of pixels, or pixels of patches
        assert abs(explanation.at_pixels().mean() - explanation.score) < 1e-5


def test_real_photographs(real_data, scorers):
    from clicv2_keras.data.reading import load_images
    from clicv2_keras.data.sources import FileSource

    path = real_data / "corpus" / "kodak" / "00004.jpg"
    scorer = scorers["diversity"]
    (explanation,) = clicv2_keras.explain(path, scorer, output=None)
    assert explanation.size == open_rgb(path).size
    # The same number as every other verb gives.
    pixels = load_images(FileSource([path]), [0], 64)
    assert abs(scorer.predict(pixels, verbose=0)["score"][0] - explanation.score) < 1e-6
