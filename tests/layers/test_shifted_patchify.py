import keras
import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import ShiftedPatchify


def numpy(x):
    return ops.convert_to_numpy(x)


def test_windows_are_exactly_the_pixels_at_the_drawn_offsets(images, rng):
    offsets = rng.integers(-4, 5, (4, 16, 2)).astype("int32")
    windows = ShiftedPatchify(8)(images, training=True, offsets=offsets)
    np.testing.assert_array_equal(numpy(windows), reference.shifted_patchify(images, 8, offsets))
    assert numpy(windows).dtype == "uint8"


def test_of_one_patch_a_whole_patchs_shift_is_reflected_at_both_ends(images):
    offsets = np.array([[[8, -8]], [[-8, 8]], [[8, 8]], [[0, -8]]], "int32")
    windows = ShiftedPatchify(8, max_shift=8)(images[:, :8, :8], training=True, offsets=offsets)
    np.testing.assert_array_equal(numpy(windows), reference.shifted_patchify(images[:, :8, :8], 8, offsets))


def test_roll_keeps_the_histogram_of_every_patch(images, rng):
    offsets = rng.integers(-4, 5, (4, 16, 2)).astype("int32")
    rolled = numpy(ShiftedPatchify(8, mode="roll")(images, training=True, offsets=offsets))
    np.testing.assert_array_equal(rolled, reference.rolled_patchify(images, 8, offsets))
    np.testing.assert_array_equal(np.sort(rolled, axis=2), np.sort(reference.patchify(images, 8), axis=2))


def test_draws_are_directions_times_magnitudes():
    layer = ShiftedPatchify(8, max_shift=3, seed=1)
    offsets = numpy(layer.draw(64, (4, 4)))
    assert offsets.shape == (64, 16, 2)
    vertical, horizontal = np.abs(offsets[..., 0]), np.abs(offsets[..., 1])
    assert ((vertical == 0) | (horizontal == 0) | (vertical == horizontal)).all()
    assert set(np.maximum(vertical, horizontal).ravel()) == {1, 2, 3}
    assert len({tuple(np.sign(o)) for o in offsets.reshape(-1, 2)}) == 8


def test_grid_shifts_a_whole_image_alike_and_patch_does_not():
    grid = numpy(ShiftedPatchify(8, mode="grid", seed=1).draw(8, (4, 4)))
    assert (grid == grid[:, :1]).all()
    assert len(np.unique(grid[:, 0], axis=0)) > 1
    patch = numpy(ShiftedPatchify(8, seed=1).draw(8, (4, 4)))
    assert not (patch == patch[:, :1]).all()


@pytest.mark.parametrize("mode", ["patch", "grid", "roll"])
def test_two_views_differ_and_inference_does_not_shift(images, mode):
    layer = ShiftedPatchify(8, mode=mode, seed=1)
    plain = reference.patchify(images, 8)
    first, second = numpy(layer(images, training=True)), numpy(layer(images, training=True))
    assert (first != second).any()
    assert (first != plain).any()
    np.testing.assert_array_equal(numpy(layer(images)), plain)


def test_none_never_shifts(images):
    shifted = ShiftedPatchify(8, mode="none")(images, training=True)
    np.testing.assert_array_equal(numpy(shifted), reference.patchify(images, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"mode": "swirl"}, "mode must be one of"), ({"max_shift": 9}, "max_shift must be 1 to patch_size=8")],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShiftedPatchify(8, **arguments)


def test_patch_that_does_not_divide(images):
    with pytest.raises(ValueError, match="patch_size=7 does not divide the image of 32 x 32"):
        ShiftedPatchify(7)(images)


def test_draws_continue_after_loading(images, tmp_path):
    model = keras.Sequential([keras.Input((32, 32, 3), dtype="uint8"), ShiftedPatchify(8, seed=1)])
    model(images, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(images, training=True)), numpy(model(images, training=True)))
