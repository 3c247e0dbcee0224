"""A `ViTEncoder` whose patch embedding is a pretrained convolutional network."""

import keras
import numpy as np
import pytest
import reference
from keras import ops
from tiny_network import tiny_feature_maps

from clicv2_keras.layers import FeatureStem, sincos_positions
from clicv2_keras.models import ComplexityScorer, LinearHead, ViTEncoder
from clicv2_keras.models.presets import load_preset, save_preset

TINY = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "num_heads": 2}


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture(params=[True, False], ids=["skip", "no skip"])
def hybrid(images, request):
    keras.utils.set_random_seed(0)
    encoder = ViTEncoder(**TINY, stem=FeatureStem(tiny_feature_maps()), stem_skip=request.param)
    encoder.stem.adapt(images, encoder.grid)
    return encoder


def numpy_tokens(encoder, inputs, keep=None):
    kernel, bias = encoder.patch_projection.get_weights()
    tokens = inputs @ kernel + bias + sincos_positions((4, 4), 16)
    if keep is not None:
        tokens = np.take_along_axis(tokens, keep[..., None], axis=1)
    for block in encoder.blocks:
        tokens = reference.transformer_block(tokens, block.get_weights(), heads=2)
    tokens = reference.layer_norm(tokens, *encoder.norm.get_weights())
    if keep is not None:
        inputs = np.take_along_axis(inputs, keep[..., None], axis=1)
    return np.concatenate([tokens, inputs], axis=-1) if encoder.stem_skip else tokens


def test_agrees_with_numpy_whole_and_masked(hybrid, images, rng):
    np.testing.assert_allclose(
        numpy(hybrid(images)), numpy_tokens(hybrid, numpy(hybrid.stem(images, grid=(4, 4)))), atol=1e-4
    )
    patches = reference.patchify(images, 8)
    np.testing.assert_allclose(numpy(hybrid.encode(patches)), numpy(hybrid(images)), atol=1e-5)
    keep = np.sort(rng.permuted(np.tile(np.arange(16), (4, 1)), axis=1)[:, :5], axis=1).astype("int32")
    grey = np.full_like(images, 127)
    for b, i in np.ndindex(keep.shape):
        y, x = keep[b, i] // 4 * 8, keep[b, i] % 4 * 8
        grey[b, y : y + 8, x : x + 8] = images[b, y : y + 8, x : x + 8]
    expected = numpy_tokens(hybrid, numpy(hybrid.stem(grey, grid=(4, 4))), keep)
    np.testing.assert_allclose(numpy(hybrid.encode(patches, keep=keep)), expected, atol=1e-4)
    assert expected.shape[-1] == hybrid.output_dim == (16 + 28 if hybrid.stem_skip else 16)
    read = np.array([9, 3], "int32")
    np.testing.assert_allclose(numpy(hybrid.encode(patches, read=read)), numpy(hybrid(images))[:, read], atol=1e-5)


def test_what_is_hidden_cannot_be_seen_through_the_stem(hybrid, images):
    keep = np.tile(np.array([[0, 5, 6]], "int32"), (4, 1))
    patches = reference.patchify(images, 8)
    others = patches.copy()
    hidden = np.setdiff1d(np.arange(16), keep[0])
    others[:, hidden] = 255 - others[:, hidden]
    np.testing.assert_array_equal(numpy(hybrid.encode(patches, keep=keep)), numpy(hybrid.encode(others, keep=keep)))


def test_both_branches_of_clicv2_train_a_hybrid(make_model, batch):
    stem = FeatureStem(tiny_feature_maps(), trainable=True)
    model = make_model(encoder={"stem": stem})
    before = [numpy(v) for v in (stem.trainable_variables[0], model.encoder.patch_projection.kernel)]
    logs = model.train_on_batch(batch, return_dict=True)
    assert np.isfinite(logs["contrastive_loss"]) and np.isfinite(logs["entropy_loss"])
    after = [numpy(v) for v in (stem.trainable_variables[0], model.encoder.patch_projection.kernel)]
    assert all((new != old).any() for new, old in zip(after, before, strict=True))


def test_the_score_is_the_maps_mean_and_all_is_saved(hybrid, images, tmp_path, monkeypatch):
    scorer = ComplexityScorer(hybrid, LinearHead(("token", "deviation")))
    scorer.head.kernel.assign(np.random.default_rng(0).normal(size=2 * hybrid.output_dim) / 8)
    expected = {name: numpy(value) for name, value in scorer(images).items()}
    np.testing.assert_allclose(expected["map"].mean(axis=(1, 2)), expected["score"], atol=1e-6)
    scorer.save(tmp_path / "scorer.keras")
    loaded = keras.saving.load_model(tmp_path / "scorer.keras")
    np.testing.assert_array_equal(numpy(loaded(images)["score"]), expected["score"])
    assert loaded.encoder.trainable_variables and not loaded.encoder.stem.trainable_variables
    save_preset(scorer, tmp_path / "preset")
    monkeypatch.setattr("clicv2_keras.models.presets.trained_presets", lambda: {"hybrid": tmp_path / "preset"})
    preset = load_preset(ComplexityScorer, "hybrid")
    np.testing.assert_allclose(numpy(preset(images)["score"]), expected["score"], atol=5e-3)


def test_a_copy_reads_other_sizes(hybrid, images):
    larger = hybrid.copy(image_size=64)
    assert larger.grid == (8, 8)
    np.testing.assert_allclose(
        numpy(larger.stem(images, grid=(4, 4))), numpy(hybrid.stem(images, grid=(4, 4))), atol=1e-6
    )


def test_a_copy_in_another_precision_is_so_in_its_stem_too(hybrid, images):
    half = hybrid.copy(dtype="mixed_bfloat16")
    layers = [each for each in half.stem._flatten_layers() if each.weights and not isinstance(each, keras.Model)]
    assert {layer.dtype_policy.name for layer in layers} == {"mixed_bfloat16"}
    assert half.stem.trainable == hybrid.stem.trainable
    for one, other in zip(half.get_weights(), hybrid.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    ours, theirs = (numpy(keras.ops.cast(each(images), "float32")) for each in (half, hybrid))
    assert 0 < np.abs(ours - theirs).max() < 0.2 * np.abs(theirs).max()
    np.testing.assert_array_equal(numpy(half.copy(dtype="float32")(images)), numpy(hybrid(images)))
