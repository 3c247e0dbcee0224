from fractions import Fraction

import pytest

from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.shapes import kept_patches


@pytest.mark.parametrize("patches", [4, 16, 36, 49, 100, 196, 576, 1024])
def test_the_nearest_whole_number_to_the_share_that_is_asked(patches):
    for percent in range(1, 100):
        kept = kept_patches(patches, percent / 100)
        assert 1 <= kept <= patches - 1
        asked = patches * (1 - Fraction(percent, 100))
        if 1 <= asked <= patches - 1:
            assert abs(kept - asked) <= Fraction(1, 2), percent


def test_the_cost_counts_what_the_mask_keeps():
    # 100 patches, of which int(100 * (1 - 0.8)) is 19.
    recipe = load_recipe("quickstart", ["data.image_size=80", "encoder.patch_size=8", "entropy.mask_ratio=0.8"])
    assert count_cost(recipe).kept == 20
