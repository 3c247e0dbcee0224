import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import OtherComplexity, PatchStatistics
from clicv2_keras.recipe.shapes import COPIES


@pytest.mark.parametrize("kind", COPIES)
def test_agrees_with_numpy(images, kind):
    copies, signs = OtherComplexity((kind,), seed=0)(images)
    copies = ops.convert_to_numpy(copies)
    expected = np.stack([reference.copy_at_other_complexity(kind, image) for image in images])
    # By 1 where a value lies on the edge of a rounding.
    assert copies.dtype == "uint8" and np.abs(copies - expected).max() <= (0 if kind == "posterize" else 1)
    assert np.mean(copies != expected) < 1e-2
    assert set(ops.convert_to_numpy(signs)) == {-1.0 if kind == "tile" else 1.0}


def test_each_image_has_the_kind_of_its_number(images):
    kinds = tuple(COPIES)
    copies, signs = OtherComplexity(kinds)(images, kind=np.array([3, 0, 2, 1], "int32"))
    for i, number in enumerate((3, 0, 2, 1)):
        alone, _ = OtherComplexity((kinds[number],))(images)
        np.testing.assert_array_equal(ops.convert_to_numpy(copies)[i], ops.convert_to_numpy(alone)[i])
    np.testing.assert_array_equal(ops.convert_to_numpy(signs), [-1, 1, 1, 1])


def test_kinds_are_drawn_for_each_image_and_anew(rng):
    images = np.repeat(rng.integers(0, 256, (1, 16, 16, 3)).astype("uint8"), 32, axis=0)
    layer = OtherComplexity(seed=3)
    first, second = (ops.convert_to_numpy(layer(images)[0]) for _ in range(2))
    assert len(np.unique(first.reshape(32, -1), axis=0)) == len(COPIES)
    assert (first != second).any()


def test_simpler_copies_are_simpler_and_tiles_are_not():
    """Of pictures with things in them, by what can be counted."""
    from clicv2_keras.utils.procedural import procedural_image

    pictures = np.stack([procedural_image(seed, 64)[0] for seed in range(12)])
    count = PatchStatistics(16, ("gradient",))
    before = ops.convert_to_numpy(count(pictures)).mean()
    after = {kind: ops.convert_to_numpy(count(OtherComplexity((kind,))(pictures)[0])).mean() for kind in COPIES}
    assert after["blur"] < before and after["scale"] < before and after["tile"] > before
    colors = PatchStatistics(16, ("colors",))
    posterized, _ = OtherComplexity(("posterize",))(pictures)
    assert ops.convert_to_numpy(colors(posterized)).mean() < ops.convert_to_numpy(colors(pictures)).mean()


def test_mistakes(images):
    with pytest.raises(ValueError, match="kinds must be some of blur, posterize, scale, tile"):
        OtherComplexity(("blurred",))
    with pytest.raises(ValueError, match="must be uint8"):
        OtherComplexity()(images.astype("float32"))
