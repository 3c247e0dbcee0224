"""Saliency against gradients worked out by hand, on heads whose weights are known."""

import keras
import numpy as np
import pytest
from tiny_network import tiny_feature_maps

import clicv2_keras
from clicv2_keras.explanation import METHODS
from clicv2_keras.layers import FeatureStem
from clicv2_keras.models import ComplexityScorer, MaskedEntropyBranch, ViTEncoder
from clicv2_keras.utils.errors import UserError

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf-keras-vis needs Keras on TensorFlow", allow_module_level=True)

from clicv2_keras.explanation import saliency_tensorflow
from clicv2_keras.explanation.saliency_tensorflow import SaliencyTensorFlow, _flat_model


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(saliency_tensorflow, "SAMPLES", 2)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (64, 64, 3)).astype("uint8")


def tokens_and_gradient(scorer, image):
    """Tokens (8, 8, C), and by hand the gradient with respect to them of the mean of σ(w·t + b)."""
    tokens = np.asarray(scorer.encoder(image[None]), "float64")[0]
    kernel = np.asarray(scorer.head.kernel, "float64")
    patches = 1 / (1 + np.exp(-(tokens @ kernel + float(scorer.head.bias))))
    gradient = (patches * (1 - patches))[:, None] * kernel / len(patches)
    return tokens.reshape(8, 8, -1), gradient.reshape(8, 8, -1), patches.mean()


def test_the_flat_model_is_the_scorer(make_scorer, image):
    for head in ("diversity", "linear"):
        scorer = make_scorer(head)
        expected = scorer.predict_on_batch(image[None])["score"]
        np.testing.assert_allclose(_flat_model(scorer)([image[None].astype("float32")]), expected, atol=1e-5)


def test_layercam_is_the_tokens_times_their_positive_gradient(make_scorer, image):
    scorer = make_scorer("linear")
    tokens, gradient, _ = tokens_and_gradient(scorer, image)
    expected = np.maximum((np.maximum(gradient, 0) * tokens).sum(-1), 0)
    grid = SaliencyTensorFlow(scorer, ["layercam"])(image)["layercam"]
    assert grid.shape == (8, 8) and grid.max() > 0
    np.testing.assert_allclose(grid, expected, rtol=1e-3, atol=1e-6)


def test_a_stems_features_beside_the_tokens_are_looked_at_too(make_scorer, image):
    scorer = make_scorer("linear", stem=FeatureStem(tiny_feature_maps()))
    assert scorer.encoder.output_dim > scorer.encoder.width
    tokens, gradient, _ = tokens_and_gradient(scorer, image)
    expected = np.maximum((np.maximum(gradient, 0) * tokens).sum(-1), 0)
    grid = SaliencyTensorFlow(scorer, ["layercam"])(image)["layercam"]
    np.testing.assert_allclose(grid, expected, rtol=1e-3, atol=1e-6)


def test_gradcam_plus_plus_weighs_the_channels_as_its_paper_says(make_scorer, image):
    scorer = make_scorer("linear")
    tokens, gradient, score = tokens_and_gradient(scorer, image)
    # Equations 19 and 20 with the exponential of the score; tf-keras-vis scales the alphas to sum to 1.
    alpha = gradient**2 / (2 * gradient**2 + gradient**3 * tokens.sum((0, 1)))
    alpha /= alpha.sum((0, 1))
    weights = (alpha * np.maximum(np.exp(score) * gradient, 0)).sum((0, 1))
    expected = np.maximum(tokens @ weights, 0)
    grid = SaliencyTensorFlow(scorer, ["gradcam++"])(image)["gradcam++"]
    assert grid.shape == (8, 8) and grid.max() > 0
    np.testing.assert_allclose(grid, expected, rtol=1e-2, atol=1e-4 * expected.max())


def test_smoothgrad_finds_the_only_pixel_that_counts(make_scorer, image):
    # No block mixes the patches, and the projection sees one pixel of each: row 2, column 5, in red.
    scorer = make_scorer("linear", depth=0, detail_gain=1.0)
    projection = scorer.encoder.patch_projection
    seen = np.zeros_like(np.asarray(projection.kernel)).reshape(8, 8, 3, -1)
    seen[2, 5, 0] = np.random.default_rng(0).normal(size=16)
    projection.kernel.assign(seen.reshape(192, 16))
    grid = SaliencyTensorFlow(scorer, ["smoothgrad"])(image)["smoothgrad"]
    assert grid.shape == (64, 64)
    assert (grid[2::8, 5::8] > 0).all()
    grid[2::8, 5::8] = 0
    assert not grid.any()


def test_a_head_that_ignores_the_image_gives_none(make_scorer, image):
    scorer = make_scorer("linear")
    scorer.head.kernel.assign(np.zeros(scorer.head.kernel.shape))
    for name, grid in SaliencyTensorFlow(scorer, list(METHODS))(image).items():
        assert not grid.any(), name


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_label_free_score_has_saliency_the_same_each_time(make_scorer, image, dtype):
    salient = SaliencyTensorFlow(make_scorer(dtype=dtype), list(METHODS))
    np.random.seed(7)
    first = salient(image)
    assert {name: grid.shape for name, grid in first.items()} == {
        "smoothgrad": (64, 64),
        "gradcam++": (8, 8),
        "layercam": (8, 8),
    }
    drawn = np.random.random()
    np.random.seed(7)
    assert drawn == np.random.random()  # the caller's own draws are left alone
    for name, grid in salient(image).items():
        assert grid.dtype == np.float32 and np.isfinite(grid).all() and grid.min() >= 0 and grid.max() > 0
        np.testing.assert_array_equal(grid, first[name])


def test_the_masked_entropy_head_has_no_tokens_to_look_at(image):
    keras.utils.set_random_seed(0)
    encoder = ViTEncoder(image_size=64, patch_size=16, width=16, depth=1, num_heads=2)
    head = MaskedEntropyBranch(decoder_depth=1, decoder_width=16)
    scorer = ComplexityScorer(encoder, head)
    head.patch_loss.mean.assign(0.5)
    head.patch_loss.variance.assign(0.01)
    grid = SaliencyTensorFlow(scorer, ["smoothgrad"])(image)["smoothgrad"]
    assert np.isfinite(grid).all() and grid.max() > 0
    for name in ("gradcam++", "layercam"):
        with pytest.raises(UserError, match=f"{name.replace('+', '.')} looks at the tokens .* take smoothgrad"):
            SaliencyTensorFlow(scorer, [name])


def test_saliency_is_part_of_an_explanation(make_scorer, busy_corner):
    (explanation,) = clicv2_keras.explain(busy_corner(), make_scorer(), "layercam", output=None)
    assert list(explanation.grids) == ["map", "layercam"]
    assert explanation.at_pixels("layercam").shape == (60, 90)
    assert explanation.limits("layercam")[0] == 0
