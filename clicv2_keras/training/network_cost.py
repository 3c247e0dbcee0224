"""What the pretrained networks of a recipe cost. Import only once the backend is chosen."""

import math

import keras

from clicv2_keras.models.open_feature_maps import open_feature_maps
from clicv2_keras.recipe.cost import NetworkCost


def recipe_networks(recipe):
    """`NetworkCost` of a recipe's stem and of its teacher; None where it has none.

    Raises:
        UserError: where there is no such network.
    """
    encoder, stem, teacher = recipe.encoder, None, None
    if encoder.stem != "linear":
        stem = open_feature_maps(encoder.stem).select(max_stride=encoder.stem_stride)
        stem.trainable = encoder.stem_rate > 0
        stem = network_cost(stem, recipe.data.image_size)
    if recipe.guide.teacher is not None:
        teacher = open_feature_maps(recipe.guide.teacher)
        teacher.trainable = False
        teacher = network_cost(teacher, recipe.data.image_size)
    return stem, teacher


def network_cost(features, side):
    """The `NetworkCost` of `FeatureMaps` that are given images of `side` pixels."""
    network, side = features.network, features.image_size or side
    layers = [each for each in network.layers if isinstance(each, _COUNTED)]
    inside = keras.Model(network.inputs, [each.output for each in layers])
    spec = inside.compute_output_spec(keras.KerasTensor((1, side, side, 3)))
    flops = 0
    for layer, output in zip(layers, keras.tree.flatten(spec), strict=True):
        # Of a convolution the kernel's size is what an output cell and channel takes, times the channels; of a
        # depthwise one it is that of all channels.
        cells = math.prod(output.shape[:-1])
        flops += 2 * cells * math.prod(layer.kernel.shape)
    return NetworkCost(
        parameters=features.count_params(),
        trainable=sum(math.prod(v.shape) for v in features.trainable_variables),
        flops=flops,
        strides=tuple(features.strides),
        channels=tuple(features.channels),
    )


_COUNTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
