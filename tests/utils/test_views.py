import math

import numpy as np
import pytest

from clicv2_keras.utils.views import ASPECT, LUMA, WHOLE, crop_box, draw_crop, jitter_colors, shortest_side


def plain_box(rng, min_area):
    """The law in plain words; the same draws as those that the batches of a seed were always made from."""
    area = rng.uniform(min_area, 1)
    aspect = math.exp(rng.uniform(-1, 1) * math.log(4 / 3))
    across, down = min(math.sqrt(area * aspect), 1.0), min(math.sqrt(area / aspect), 1.0)
    left, upper = rng.uniform(0, 1 - across), rng.uniform(0, 1 - down)
    return left, upper, left + across, upper + down


def test_a_seed_gives_the_crops_that_it_always_gave():
    for seed in range(200):
        first, second = np.random.default_rng(seed), np.random.default_rng(seed)
        box, flip = draw_crop(first, 0.2, flip=True)
        np.testing.assert_allclose(box, plain_box(second, 0.2), rtol=0, atol=1e-15)
        assert flip == (second.random() < 0.5)
        assert first.random() == second.random()


@pytest.mark.parametrize("min_area", [0.2, 0.5, 0.8])
def test_crops_lie_in_the_image_and_keep_area_and_aspect(rng, min_area):
    left, upper, right, lower = crop_box(rng.random((20000, 4)), min_area).T
    across, down = right - left, lower - upper
    assert left.min() >= 0 and upper.min() >= 0 and right.max() <= 1 and lower.max() <= 1
    aspect, area = across / down, across * down
    assert 1 / ASPECT - 1e-9 < aspect.min() and aspect.max() < ASPECT + 1e-9
    assert min_area > 0.75 or (aspect.min() < 0.76 and aspect.max() > 1.32)
    smallest = min_area if min_area <= 0.75 else math.sqrt(0.75 * min_area)
    assert smallest - 1e-9 < area.min() < smallest + 0.01 and area.max() > 0.98
    # Where nothing is cut at the sides, the area is uniform.
    inside = area[area < 0.75]
    assert min_area > 0.75 or inside.mean() == pytest.approx((min_area + 0.75) / 2, abs=0.005)
    # Anywhere in the image alike.
    for place, side in ((left, across), (upper, down)):
        free = side < 0.99
        assert np.mean(place[free] / (1 - side[free])) == pytest.approx(0.5, abs=0.01)
    assert shortest_side(np.stack([left, upper, right, lower], axis=1)[:50]) == np.minimum(across, down)[:50].min()


def test_a_min_area_of_1_keeps_the_whole_image(rng):
    np.testing.assert_array_equal(crop_box(rng.random((50, 4)), 1), [WHOLE] * 50)


def test_colours_change_in_order_and_units(rng):
    image = rng.integers(60, 190, (1, 8, 8, 3)).astype("float32")

    def with_factors(*factors):
        return jitter_colors(image, np.float32([factors]))

    np.testing.assert_array_equal(with_factors(1, 1, 1), image)
    np.testing.assert_allclose(with_factors(1.2, 1, 1), image + 25.5, atol=0.51)
    mean = image.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(with_factors(1, 0.5, 1), mean + 0.5 * (image - mean), atol=0.51)
    grey = (image @ np.float32(LUMA))[..., None]
    np.testing.assert_allclose(with_factors(1, 1, 0.5), grey + 0.5 * (image - grey), atol=0.51)
    # Contrast about the mean that nothing has moved yet, clipped; then brightness, clipped; then saturation.
    strong = np.clip(np.clip(mean + 2 * (image - mean), 0, 255) + 0.5 * 127.5, 0, 255)
    grey = (strong @ np.float32(LUMA))[..., None]
    np.testing.assert_allclose(with_factors(1.5, 2, 1.5), np.clip(grey + 1.5 * (strong - grey), 0, 255), atol=0.51)
