"""A `ViTEncoder` with the weights of a keras_hub backbone, where it computes the same."""

import math

import keras
import numpy as np
from keras import layers, ops

from clicv2_keras.layers import FeatureStem, sincos_positions
from clicv2_keras.models.feature_maps import FeatureMaps
from clicv2_keras.utils.errors import UserError

# SigLIP's own converter brings pixels in [0, 255] to [-1, 1].
CENTER = 127.5
# Of every norm of `ViTEncoder`.
EPSILON = 1e-6
# What keeps the other transformers out: no argument of `ViTEncoder` gives it.
DIFFERS = {
    "ViTBackbone": "its GELU is the exact one, and its class token, if it has one, takes part in attention",
    "DeiTBackbone": "its GELU is the exact one, and class and distillation tokens take part in attention",
    "DINOV2Backbone": "a class token takes part in attention, and its blocks scale what they add",
    "DINOV3Backbone": "a class token takes part in attention, and positions turn its queries and keys",
    "CLIPVisionEncoder": "a class token takes part in attention, and its tokens are normalised before the blocks",
}


def from_keras_hub(encoder_class, backbone):
    """See `ViTEncoder.from_keras_hub`."""
    # Of a backbone of images and text, that of images.
    backbone = getattr(backbone, "vision_encoder", backbone)
    _check(backbone)
    grid = (backbone.image_shape[0] // backbone.patch_size,) * 2
    encoder = encoder_class(
        # What is left over beyond the last patch is not read, as in keras_hub.
        image_size=grid[0] * backbone.patch_size,
        patch_size=backbone.patch_size,
        width=backbone.hidden_dim,
        depth=backbone.num_layers,
        num_heads=backbone.num_heads,
        mlp_ratio=_ratio(backbone.intermediate_dim, backbone.hidden_dim),
        stem=FeatureStem(FeatureMaps(_patch_embedding(backbone.embedding, grid), CENTER, CENTER)),
        stem_skip=False,
    )
    # The stem's features are the tokens already.
    encoder.patch_projection.set_weights([np.eye(encoder.width), np.zeros(encoder.width)])
    for ours, theirs in zip(encoder.blocks, backbone.encoder_layers, strict=True):
        ours.set_weights(_block(theirs))
    encoder.norm.set_weights(_numbers(backbone.post_layer_norm))
    return encoder


def _check(backbone):
    """Refuse what would not compute the same."""
    name = type(backbone).__name__
    why = DIFFERS.get(name, "it is not known to be a plain vision transformer")
    if name == "SigLIPVisionEncoder":
        activation, epsilon = backbone.intermediate_activation, backbone.layer_norm_epsilon
        data_format = backbone.embedding.data_format
        checks = [
            (activation == "gelu_approximate", f"its activation is {activation}, not the tanh form of GELU"),
            (epsilon == EPSILON, f"the epsilon of its norms is {epsilon}, not {EPSILON}"),
            (data_format == "channels_last", f"it reads images as {data_format}, not channels_last"),
        ]
        why = next((difference for same, difference in checks if not same), None)
    if why:
        raise UserError(
            f"from_keras_hub: a ViTEncoder cannot compute what this {name} does: {why}; take it as a stem or a "
            "teacher, encoder.stem or guide.teacher of a recipe: see docs/pretrained.md"
        )


def _patch_embedding(embedding, grid):
    """The model of a patch embedding whose bias is the learnt code of each place, less the code that is added later."""
    kernel, bias = _numbers(embedding.patch_embedding)
    (codes,) = _numbers(embedding.position_embedding)
    size, _, _, width = kernel.shape
    image = keras.Input((grid[0] * size, grid[1] * size, 3))
    patches = layers.Conv2D(width, size, strides=size, use_bias=False, data_format="channels_last")
    places = layers.EinsumDense("bhwc,cd->bhwd", (*grid, width), bias_axes="hwd")
    network = keras.Model(image, places(patches(image)))
    patches.set_weights([kernel])
    added = bias + codes - sincos_positions(grid, width)
    places.set_weights([np.eye(width), added.reshape(*grid, width)])
    return network


def _block(theirs):
    """The weights of a `TransformerBlock`: those of one of SigLIP's, query, key and value side by side."""
    attention = _numbers(theirs.self_attn)  # kernel and bias of query, key, value and output, the heads apart
    width = len(attention[-1])
    return [
        *_numbers(theirs.layer_norm1),
        np.concatenate([kernel.reshape(width, width) for kernel in attention[0:6:2]], axis=1),
        np.concatenate([bias.reshape(width) for bias in attention[1:6:2]]),
        attention[6].reshape(width, width),
        attention[7],
        *_numbers(theirs.layer_norm2),
        *_numbers(theirs.mlp.fc1),
        *_numbers(theirs.mlp.fc2),
    ]


def _numbers(layer):
    return [ops.convert_to_numpy(weight).astype("float32") for weight in layer.weights]


def _ratio(hidden, width):
    """The `mlp_ratio` by which a width has so many hidden features, whatever rounding does."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)
