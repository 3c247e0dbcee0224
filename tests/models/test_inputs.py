"""What the models take in: bytes, floats whose meaning is said, and nothing else."""

import keras
import numpy as np
import pytest
from keras import ops

from clicv2_keras.layers import RandomViews
from clicv2_keras.models import ComplexityScorer, DiversityHead, Embedder, LinearHead, ViTEncoder

HEADS = ("diversity", "linear", "entropy")
RANGES = ((0, 1), (-1, 1), (0, 255))


@pytest.fixture
def scorer_taking(make_model, rng):
    """A tiny scorer by its head and `value_range`; the weights are always the same."""

    def make(head, value_range=None):
        model = make_model(entropy={} if head == "entropy" else None)
        encoder = model.encoder.copy(value_range=value_range)
        if head == "entropy":
            model.entropy.patch_loss.mean.assign(0.5)
            model.entropy.patch_loss.variance.assign(0.01)
            return ComplexityScorer(encoder, model.entropy)
        scorer = ComplexityScorer(encoder, DiversityHead() if head == "diversity" else LinearHead())
        if head == "linear":
            scorer.head.kernel.assign(np.random.default_rng(1).normal(0, 0.3, scorer.head.kernel.shape))
        return scorer

    return make


def floats(images, value_range):
    black, white = value_range
    return (black + images / 255 * (white - black)).astype("float32")


def score(scorer, images):
    return ops.convert_to_numpy(scorer(images)["score"])


@pytest.mark.parametrize(("head", "ranges"), [("linear", RANGES), ("diversity", RANGES[1:2]), ("entropy", RANGES[:1])])
def test_floats_score_as_the_bytes_that_they_stand_for(scorer_taking, images, head, ranges):
    expected = score(scorer_taking(head), images)
    for value_range in ranges:
        scorer = scorer_taking(head, value_range)
        np.testing.assert_allclose(score(scorer, floats(images, value_range)), expected, atol=1e-5)
    np.testing.assert_allclose(score(scorer, images), expected, atol=1e-7)


def gradient(function, x):
    """Of a scalar function of one array, on any backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x).numpy()
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).backward()
    return x.grad.numpy()


@pytest.mark.parametrize("head", HEADS)
def test_the_score_has_a_gradient_with_respect_to_the_pixels(scorer_taking, images, head):
    scorer = scorer_taking(head, (0, 1))
    x = floats(images, (0, 1))
    slope = gradient(lambda x: ops.mean(scorer(x)["score"]), x)
    assert np.isfinite(slope).all() and (np.abs(slope).max(axis=(1, 2, 3)) > 0).all()
    step = 1e-2 * slope / np.linalg.norm(slope)
    rise = score(scorer, x + step).mean() - score(scorer, x - step).mean()
    np.testing.assert_allclose(rise, 2 * (slope * step).sum(), rtol=0.05)


def test_half_precision_does_not_round_the_pixels(images):
    """Keras would cast floats to bfloat16, half a grey level here, before the network sees them."""
    bright = 246 + images % 9
    plain = ViTEncoder(
        image_size=32, patch_size=8, width=16, depth=0, num_heads=2, detail_gain=16.0, dtype="mixed_bfloat16"
    )
    tokens = [ops.convert_to_numpy(ops.cast(plain(bright), "float32"))]
    for value_range in RANGES:
        tokens.append(
            ops.convert_to_numpy(ops.cast(plain.copy(value_range=value_range)(floats(bright, value_range)), "float32"))
        )
    for found in tokens[1:]:
        assert np.abs(found - tokens[0]).mean() < 1e-3


def refused(call, images, message):
    with pytest.raises(ValueError, match=message):
        call(images)


def test_what_has_no_stated_meaning_is_refused(make_model, images):
    model = make_model(views=RandomViews(32, seed=0))
    scorer = ComplexityScorer.label_free(model.encoder)
    for dtype, given in {"float": images / 255, "int": images.astype("int64")}.items():
        for call in (scorer, scorer.predict_on_batch, model.encoder, model, model.train_on_batch):
            refused(call, given, f"Images must be uint8 .*got {dtype}.*: convert them")
    views = {"image": images, "view_a": images, "view_b": images / 255}
    refused(model.train_on_batch, views, "got float.*: convert them")


@pytest.mark.usefixtures("one_step")
def test_a_refusal_loses_nothing(make_model, images):
    """On JAX Keras empties a model's variables in `predict` and `fit`, and an error leaves them so."""
    model = make_model(contrast=None, views=RandomViews(32, seed=0))
    embeddings = model.predict(images, verbose=0)
    for call in (model.predict, model.encoder.predict, model.evaluate, model.fit):
        refused(call, images / 255, "got float.*: convert them")
    np.testing.assert_array_equal(model.predict(images, verbose=0), embeddings)
    assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()


@pytest.mark.usefixtures("one_step")
def test_a_refusal_keeps_what_was_loaded_after_a_step_of_ones_own(make_model, images):
    model = make_model(contrast=None, views=RandomViews(32, seed=0))
    loaded = model.get_weights()
    model.train_on_batch(images)
    model.predict(images, verbose=0)
    model.set_weights(loaded)
    for call in (model.train_on_batch, model.fit, model.evaluate, model.predict):
        refused(call, images / 255, "got float.*: convert them")
    for before, after in zip(loaded, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()


def test_datasets_and_tensors_of_floats_are_refused_too(tiny_encoder, images):
    scorer = ComplexityScorer.label_free(tiny_encoder)
    torch = pytest.importorskip("torch")
    refused(scorer.predict, torch.tensor(images / 255), "got float")
    tf = pytest.importorskip("tensorflow")
    refused(scorer.predict, tf.data.Dataset.from_tensor_slices(images / 255).batch(2), "got float")


def test_another_size_is_refused_with_the_size_that_is_wanted(make_model, images):
    large, grey = images.repeat(2, axis=1).repeat(2, axis=2), images[..., :1]
    model = make_model()
    scorer = ComplexityScorer.label_free(model.encoder)
    message = r"\(B, 32, 32, 3\), got .*: resize each by"
    for call in (scorer, scorer.predict_on_batch, model.predict, model):
        refused(call, large, message)
        refused(call, grey, message)
    refused(model.train_on_batch, {"image": images, "view_a": images, "view_b": large}, message)
    refused(model.encoder, grey, r"\(B, H, W, 3\), got")
    refused(model.encoder, np.zeros((3, 32, 32, 4), "uint8"), r"\(B, H, W, 3\), got")


def test_embeddings_of_floats_are_those_of_bytes(tiny_encoder, images, tmp_path):
    expected = ops.convert_to_numpy(ops.mean(tiny_encoder(images), axis=1))
    embedder = Embedder(tiny_encoder.copy(value_range=(-1, 1)))
    embedder.save(tmp_path / "embedder.keras")
    for each in (embedder, keras.saving.load_model(tmp_path / "embedder.keras")):
        np.testing.assert_allclose(ops.convert_to_numpy(each(floats(images, (-1, 1)))), expected, atol=1e-5)


def test_the_range_is_kept_in_files_and_must_be_one(tmp_path):
    encoder = ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2, value_range=(0, 1))
    encoder.save(tmp_path / "encoder.keras")
    assert keras.saving.load_model(tmp_path / "encoder.keras").value_range == (0, 1)
    for wrong in ((1, 0), (0, 0), (0,), (0, 1, 2)):
        with pytest.raises(ValueError, match="value_range must be two numbers, the lower first"):
            ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2, value_range=wrong)
