import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from clicv2_keras.evaluation.handcrafted import HANDCRAFTED, LONGEST, handcrafted
from clicv2_keras.utils.procedural import procedural_image


def picture(pixels):
    return Image.fromarray(np.asarray(pixels, "uint8"))


@pytest.fixture
def detailed():
    return picture(procedural_image(3, 96)[0])


def test_a_flat_image_has_nothing():
    found = handcrafted(picture(np.full((40, 60, 3), 90)))
    assert tuple(found) == HANDCRAFTED
    nothing = [found[name] for name in ("grey_entropy", "edges", "edges_after_blur", "gradient")]
    np.testing.assert_allclose(nothing, 0, atol=1e-12)


def test_entropy_counts_grey_levels_in_bits():
    pixels = np.zeros((40, 40, 3))
    pixels[:, 20:] = 255
    assert handcrafted(picture(pixels))["grey_entropy"] == pytest.approx(1)
    pixels[:20, :20], pixels[:20, 20:] = 80, 160
    assert handcrafted(picture(pixels))["grey_entropy"] == pytest.approx(2)


def test_edges_are_a_share_and_the_gradient_a_mean():
    pixels = np.zeros((40, 50, 3))
    pixels[:, 25:] = 255
    found = handcrafted(picture(pixels))
    # Both sides of the step, but for the image's rim; Sobel's step of 1 is two columns of 1 / sqrt(2).
    assert found["edges"] == pytest.approx(2 / 50 * 38 / 40)
    assert found["gradient"] == pytest.approx(2 / 50 / np.sqrt(2), rel=1e-6)


def test_bytes_are_those_of_the_encoders_a_pixel(detailed):
    found = handcrafted(detailed)
    for name, form, options in [
        ("jpeg_q10", "JPEG", {"quality": 10}),
        ("jpeg_q50", "JPEG", {"quality": 50}),
        ("jpeg_q75", "JPEG", {"quality": 75}),
        ("png", "PNG", {}),
    ]:
        buffer = io.BytesIO()
        detailed.save(buffer, form, **options)
        assert found[name] == pytest.approx(len(buffer.getvalue()) / 96**2)


def test_the_wider_blur_leaves_what_is_coarse():
    fine = np.indices((64, 64)).sum(axis=0)[..., None].repeat(3, axis=2) // 3 % 2 * 255
    found = handcrafted(picture(fine))
    assert found["edges"] > 0.2 and found["edges_after_blur"] < 0.05


def test_a_large_image_is_measured_at_512_pixels():
    large = picture(procedural_image(5, 700)[0]).filter(ImageFilter.GaussianBlur(1))
    small = large.copy()
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    assert handcrafted(large) == handcrafted(small) and large.size == (700, 700)
