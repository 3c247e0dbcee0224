"""An encoder with the weights of a keras_hub backbone: the same tokens, or the reason why not."""

import keras
import numpy as np
import pytest
from keras import ops

from clicv2_keras.models import ViTEncoder
from clicv2_keras.utils.errors import UserError

SIDE, PATCH = 32, 8
SIZE = {"patch_size": PATCH, "hidden_dim": 16, "num_layers": 2, "num_heads": 2, "image_shape": (SIDE, SIDE, 3)}


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub")


def siglip(hub, **changes):
    """No weight of it is 0 or 1, and its positions are as large as what the patches say."""
    backbone = hub.models.SigLIPVisionEncoder(**{**SIZE, "intermediate_dim": 40, **changes})
    rng = np.random.default_rng(0)
    for weight in backbone.weights:
        if "position_ids" not in weight.path:
            spread = rng.normal(0, 0.3, weight.shape) if len(weight.shape) > 1 else rng.uniform(0.5, 1.5, weight.shape)
            weight.assign(spread)
    return backbone


def tokens_of(backbone, images):
    model = keras.Model(backbone.inputs[0], backbone.post_layer_norm.output)
    return ops.convert_to_numpy(model(images / np.float32(127.5) - 1, training=False))


def test_the_tokens_are_the_backbones(hub, images, tmp_path, one_step):
    # Patches that do not divide the image, which leaves a rim unread; and to a computer 28 times 61 / 28 is below 61.
    backbone = siglip(hub, hidden_dim=28, intermediate_dim=61, image_shape=(SIDE + 5, SIDE + 5, 3))
    expected = tokens_of(backbone, np.pad(images, ((0, 0), (0, 5), (0, 5), (0, 0))))
    assert expected.shape == (4, 16, 28) and expected.std() > 0.3
    encoder = ViTEncoder.from_keras_hub(backbone)
    assert (encoder.image_size, encoder.grid, encoder.output_dim) == (SIDE, (4, 4), 28)
    np.testing.assert_allclose(ops.convert_to_numpy(encoder(images)), expected, atol=1e-4)
    # It is an encoder like any other: stored without keras_hub, and untouched by what happens to the backbone.
    encoder.save(tmp_path / "encoder.keras")
    for weight in backbone.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert not any(type(layer).__module__.startswith("keras_hub") for layer in loaded._flatten_layers())
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(images)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "difference"),
    [
        (lambda hub: siglip(hub, intermediate_activation="gelu"), "its activation is gelu, not the tanh form"),
        (lambda hub: siglip(hub, layer_norm_epsilon=1e-5), "the epsilon of its norms is 1e-05, not 1e-06"),
        (lambda hub: hub.models.ViTBackbone(mlp_dim=16, **SIZE), "its GELU is the exact one, and its class token"),
        (lambda hub: hub.models.DeiTBackbone(intermediate_dim=16, **SIZE), "class and distillation tokens"),
        (lambda hub: keras.Sequential(), "this Sequential does: it is not known to be a plain vision transformer"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_way_out(hub, make, difference):
    with pytest.raises(UserError, match=difference) as caught:
        ViTEncoder.from_keras_hub(make(hub))
    assert "\n" not in str(caught.value) and "encoder.stem or guide.teacher" in str(caught.value)


def test_every_backbone_that_is_told_apart_is_one_of_keras_hubs(hub):
    from clicv2_keras.models.from_keras_hub import DIFFERS

    assert all(hasattr(hub.models, name) for name in DIFFERS)
