import random

import keras
import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import sincos_positions
from clicv2_keras.models import CLICv2, ComplexityScorer, ViTEncoder

TINY = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "num_heads": 2}


def numpy(x):
    return ops.convert_to_numpy(x)


def numpy_encoder(encoder, images, keep=None):
    patches = reference.patchify(images, 8).astype("float64")
    patches = patches / 127.5 - 1
    mean = patches.mean(axis=2, keepdims=True)
    patches = (mean + encoder.detail_gain * (patches - mean)).reshape(len(images), 16, -1)
    kernel, bias = encoder.patch_projection.get_weights()
    tokens = patches @ kernel + bias + sincos_positions((4, 4), 16)
    if keep is not None:
        tokens = np.take_along_axis(tokens, keep[..., None], axis=1)
    for block in encoder.blocks:
        tokens = reference.transformer_block(tokens, block.get_weights(), heads=2)
    return reference.layer_norm(tokens, *encoder.norm.get_weights())


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_agrees_with_numpy_whole_and_masked(images, rng, gain):
    encoder = ViTEncoder(**TINY, detail_gain=gain)
    np.testing.assert_allclose(numpy(encoder(images)), numpy_encoder(encoder, images), atol=1e-4)
    keep = np.sort(rng.permuted(np.tile(np.arange(16), (4, 1)), axis=1)[:, :5], axis=1).astype("int32")
    patches = reference.patchify(images, 8)
    expected = numpy_encoder(encoder, images, keep)
    np.testing.assert_allclose(numpy(encoder.encode(patches, keep=keep)), expected, atol=1e-4)
    read = np.array([9, 3], "int32")
    expected = numpy_encoder(encoder, images)[:, read]
    np.testing.assert_allclose(numpy(encoder.encode(patches, read=read)), expected, atol=1e-4)


def test_bright_detail_survives_half_precision(rng):
    # Grey levels of 246 to 254: between two of bfloat16's numbers near 1 lies half a grey level.
    patches = rng.integers(246, 255, (2, 16, 64, 3)).astype("uint8")
    encoder = ViTEncoder(**TINY, detail_gain=16.0, dtype="mixed_bfloat16")
    pixels = patches / 127.5 - 1
    mean = pixels.mean(axis=2, keepdims=True)
    expected = (mean + 16 * (pixels - mean)).reshape(2, 16, -1)
    found = encoder._pixels(ops.reshape(patches, (2, 16, -1)))
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    np.testing.assert_allclose(numpy(ops.cast(found, "float32")), expected, rtol=2**-8, atol=1e-4)


def test_other_sizes_are_read_as_other_grids(images):
    encoder = ViTEncoder(**TINY)
    assert encoder(images[:, :16, :24]).shape == (4, 6, 16)
    assert encoder(images.repeat(2, axis=1).repeat(2, axis=2)).shape == (4, 64, 16)
    with pytest.raises(ValueError, match="patch_size=8 does not divide the image of 30 x 32"):
        encoder(images[:, :30])


@pytest.mark.parametrize(("size", "millions"), [("tiny", 5.5), ("small", 21.6), ("base", 85.6), ("large", 303.1)])
def test_presets_have_the_standard_sizes(size, millions):
    encoder = ViTEncoder.from_preset(f"vit_{size}_patch16", depth=1)
    full_depth = 24 if size == "large" else 12
    block = encoder.blocks[0].count_params()
    assert abs((encoder.count_params() + (full_depth - 1) * block) / 1e6 - millions) < 0.1


def test_frozen_patch_projection_is_a_setting():
    frozen, free = (ViTEncoder(**TINY, freeze_patch_projection=freeze) for freeze in (True, False))
    assert len(free.trainable_variables) == len(frozen.trainable_variables) + 2


def test_keras_file_round_trip(images, tmp_path):
    encoder = ViTEncoder(**TINY)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(numpy(loaded(images)), numpy(encoder(images)))
    assert loaded.get_config() == encoder.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 7}, "patch_size=7 does not divide image_size=32"),
        ({"num_heads": 3}, "num_heads=3 does not divide the width 16"),
        ({"width": 18}, "multiple of 4"),
    ],
)
def test_wrong_arguments(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        ViTEncoder(**{**TINY, **arguments})(images)


def test_a_trained_encoder_comes_by_its_name_and_goes_into_the_method():
    name = "clicv2_vit_tiny_d4_patch16_128"
    scorer = ComplexityScorer.from_preset(name)
    encoder = ViTEncoder.from_preset(name, image_size=64)
    assert encoder.image_size == 64 and scorer.encoder.image_size == 128
    for method in (encoder, CLICv2.from_preset(name, image_size=64, seed=0).encoder):
        for theirs, ours in zip(method.get_weights(), scorer.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(theirs, ours)
    for change in ({"depth": 2}, {"width": 64}):
        with pytest.raises(ValueError, match="is trained and keeps its shape"):
            ViTEncoder.from_preset(name, **change)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean default"):
        CLICv2.from_preset("defaul")
    with pytest.raises(ValueError, match="did you mean vit_tiny_patch16"):
        ViTEncoder.from_preset("vit_tini_patch16")


def test_an_untrained_encoder_is_the_seeds_and_leaves_the_callers_draws_alone():
    encoder = ViTEncoder(image_size=32, patch_size=8, width=16, depth=2, num_heads=2)
    keras.utils.set_random_seed(7)
    expected = ViTEncoder(image_size=32, patch_size=8, width=16, depth=2, num_heads=2).get_weights()
    keras.utils.set_random_seed(1)
    draws = random.random(), np.random.random(), ops.convert_to_numpy(keras.random.uniform((2,)))
    keras.utils.set_random_seed(1)
    for found, known in zip(encoder.untrained(7).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, known)
    assert (random.random(), np.random.random()) == draws[:2]
    np.testing.assert_array_equal(ops.convert_to_numpy(keras.random.uniform((2,))), draws[2])


def test_recomputed_activations_change_nothing_but_memory(make_model, batch):
    results = []
    for recompute in (False, True):
        # Steps by the gradient: AdamW's would be of one size, and make much of a gradient that is all rounding.
        optimizer = keras.optimizers.SGD(0.1)
        model = make_model({"shift_mode": "none", "tokens": 16}, None, encoder={"depth": 2}, optimizer=optimizer)
        model.encoder.recompute = recompute
        logs = model.train_on_batch(batch, return_dict=True)
        results.append([logs["loss"], *model.encoder.get_weights()])
    for plain, recomputed in zip(*results, strict=True):
        np.testing.assert_allclose(recomputed, plain, rtol=1e-5, atol=1e-6)
