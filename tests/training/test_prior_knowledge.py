import numpy as np
from PIL import Image

from clicv2_keras.training.prior_knowledge import anchors, equivalent_versions
from clicv2_keras.utils.procedural import procedural_image


def test_versions_show_the_same_picture():
    image = Image.fromarray(procedural_image(3, 80)[0]).resize((120, 80))
    mirrored, middle, corner, smaller = equivalent_versions(image)
    pixels = np.asarray(image)
    np.testing.assert_array_equal(np.asarray(mirrored), pixels[:, ::-1])
    np.testing.assert_array_equal(np.asarray(middle), pixels[2:78, 3:117])
    np.testing.assert_array_equal(np.asarray(corner), pixels[4:, :114])
    assert smaller.size == (90, 60)
    assert all(version.size >= (1, 1) for version in equivalent_versions(Image.new("RGB", (1, 1))))


def test_blank_pictures_and_collages(rng):
    images = np.stack([procedural_image(seed, 36)[0] for seed in range(5)])
    pictures, known = anchors(images)
    assert pictures.shape == (48, 36, 36, 3) and pictures.dtype == "uint8"
    blanks, collages = pictures[known == 0], pictures[known == 1]
    assert len(blanks) == len(collages) == 24
    assert np.ptp(blanks, axis=(1, 2)).max() == 0
    assert len(np.unique(blanks[:, 0, 0], axis=0)) > 20
    # Every tile of a collage is a small picture.
    assert collages[:, :35, :35].reshape(24, 7, 5, 7, 5, 3).std(axis=(2, 4)).mean() > 5
