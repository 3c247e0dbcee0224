import keras
import numpy as np
import pytest

from clicv2_keras.data.sources import FileSource
from clicv2_keras.layers import PatchEntropy
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.build import build_model
from clicv2_keras.training.callbacks.pictures import GAP, GRAY, IMAGES, WHITE, Pictures
from clicv2_keras.utils.overlays import CIVIDIS


@pytest.fixture
def pictures(jpegs, tiny):
    """A function of overrides: the model and its `Pictures`."""

    def make(*overrides):
        recipe = load_recipe("quickstart", [*tiny, *overrides])
        model = build_model(recipe)
        return model, Pictures(recipe, model, FileSource.from_folder(jpegs), None)

    return make


def columns(picture):
    """Panels (columns, images, 32, 32, 3)."""
    padded = np.pad(picture, ((0, GAP), (0, GAP), (0, 0)))
    count = padded.shape[1] // (32 + GAP)
    panels = padded.reshape(IMAGES, 32 + GAP, count, 32 + GAP, 3)[:, :32, :, :32]
    return panels.transpose(2, 0, 1, 3, 4)


def patches(panel):
    """The four patches (2, 2, 16, 16, 3) of an image."""
    return panel.reshape(2, 16, 2, 16, 3).transpose(0, 2, 1, 3, 4)


def test_a_picture_shows_image_views_mask_and_both_entropies(pictures):
    model, shown = pictures("data.jitter=0")
    image, view_a, view_b, masked, true, predicted = columns(shown.draw())
    # Shifted by 8 pixels at most, a view has the colours of its image, elsewhere.
    for view in (view_a, view_b):
        assert (view != image).mean() > 0.2 and set(view[0, ..., 0].ravel()) <= set(image[0, ..., 0].ravel())
    assert (view_a != view_b).any()
    entropy = keras.ops.convert_to_numpy(PatchEntropy(16)(image)).reshape(IMAGES, 2, 2)
    for i in range(IMAGES):
        hidden = 0
        for place in np.ndindex(2, 2):
            seen, original, asked = (patches(panel[i])[place] for panel in (masked, image, predicted))
            if (seen == GRAY).all():
                hidden += 1
                assert (asked != WHITE).any()
            else:
                assert (seen == original).all() and (asked == WHITE).all()
            assert (patches(true[i])[place] == CIVIDIS[round(float(entropy[i][place]) * 255)]).all()
        assert hidden == 3  # of 4 patches


def test_what_changes_is_what_the_model_predicts(pictures):
    model, shown = pictures()
    model.entropy.patch_loss.mean.assign(0.5)
    model.entropy.patch_loss.variance.assign(0.01)
    before = columns(shown.draw())
    np.testing.assert_array_equal(columns(shown.draw()), before)
    model.entropy.decoder.head.bias.assign([-1.0])
    after = columns(shown.draw())
    np.testing.assert_array_equal(after[:-1], before[:-1])
    assert (after[-1] != before[-1]).any()


@pytest.mark.parametrize(
    ("off", "count"), [("entropy.weight=0", 3), ("contrast.level=none", 4), ("entropy.target=image", 5)]
)
def test_what_is_switched_off_is_not_shown(pictures, off, count):
    assert len(columns(pictures(off)[1].draw())) == count
