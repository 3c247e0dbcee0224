import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import activation_energy, patchify
from clicv2_keras.layers.layout import layout_retrieval, layout_thumbnails


@pytest.mark.parametrize("keep", [None, [0, 3, 5, 6, 15]])
def test_a_thumbnail_is_the_mean_of_what_is_seen(images, keep):
    found = layout_thumbnails(patchify(images, 8), (4, 4), None if keep is None else np.array(keep, "int32"))
    visible = np.isin(np.arange(16), np.arange(16) if keep is None else keep).reshape(4, 4)
    visible = visible.repeat(8, axis=0).repeat(8, axis=1)
    expected = [reference.layout_thumbnail(image, visible) for image in images]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-4)


def test_cells_may_cut_pixels(images):
    """Of 12 pixels a cell has one and a half: the mean of the image remains that of its cells."""
    small = images[:, :12, :12]
    found = ops.convert_to_numpy(layout_thumbnails(patchify(small, 4), (3, 3)))
    grey = reference.luma(small).repeat(2, axis=1).repeat(2, axis=2)
    cells = grey.reshape(4, 8, 3, 8, 3).mean(axis=(2, 4)).reshape(4, 64)
    cells -= cells.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, cells / np.linalg.norm(cells, axis=1, keepdims=True), atol=1e-4)


def test_retrieval_is_the_share_of_images_that_are_nearest_to_themselves(rng):
    a = rng.normal(size=(6, 64)).astype("float32")
    b = a[[0, 1, 2, 4, 3, 5]] + 0.01 * rng.normal(size=(6, 64)).astype("float32")
    assert float(layout_retrieval(a, b)) == pytest.approx(4 / 6)


def test_a_blank_image_has_no_layout_to_be_found_by(images):
    blank = np.full_like(images, 77)
    thumbnails = layout_thumbnails(patchify(blank, 8), (4, 4))
    np.testing.assert_allclose(ops.convert_to_numpy(thumbnails), 0, atol=1e-3)
    assert float(layout_retrieval(thumbnails, thumbnails)) == 0


def test_energy_is_the_mean_magnitude_within_the_batch(rng):
    tokens = rng.normal(size=(5, 7, 3)).astype("float32") * np.arange(1, 6)[:, None, None]
    energy = np.abs(tokens).mean(axis=(1, 2))
    expected = (energy - energy.min()) / (energy.max() - energy.min())
    np.testing.assert_allclose(ops.convert_to_numpy(activation_energy(tokens)), expected, atol=1e-5)
    assert np.isfinite(ops.convert_to_numpy(activation_energy(np.ones((4, 2, 3), "float32")))).all()
