"""What only the backend can tell of a run's cost: the pretrained networks of its recipe, and how fast this device is.

Import only once the backend is chosen.
"""

import functools
import math
import time

import keras
import numpy as np

from clicv2_keras.models.open_feature_maps import open_feature_maps
from clicv2_keras.recipe.cost import NetworkCost
from clicv2_keras.recipe.files import blame
from clicv2_keras.recipe.shapes import PIXELS
from clicv2_keras.training.source import packed_targets

SECONDS = 0.5
# More tokens tell no more: a product of this size takes a CPU a tenth of a second, and a GPU longer than its launch.
MOST_FLOPS = 8e9


@functools.cache
def product_rate(tokens, width, precision):
    """FLOPs a second (2 a multiply-add) of the products that an encoder's MLP consists of, measured for half a second.

    Args:
        tokens: of a whole batch.
        width: features of a token.
        precision: `"float32"` or `"bfloat16"`.
    """
    rows = max(min(tokens, int(MOST_FLOPS / (8 * width**2))), 1)
    rng = np.random.default_rng(0)
    left, right = (
        keras.ops.cast(rng.standard_normal(shape, "float32"), precision)
        for shape in ((rows, width), (width, 4 * width))
    )

    def seconds(count):
        start = time.perf_counter()
        for _ in range(count):
            product = keras.ops.matmul(left, right)
        # A GPU works behind the back of Python: only a number that is here says that it is done.
        keras.ops.convert_to_numpy(keras.ops.cast(product[0, 0], "float32"))
        return time.perf_counter() - start

    seconds(1)  # loads kernels
    count = 1
    while (spent := seconds(count)) < SECONDS / 2:
        count *= 2
    return 8 * rows * width**2 * count / spent


def recipe_networks(recipe, stem=None):
    """`NetworkCost` of a recipe's `FeatureStem`, see `with_shape`, and of its teacher; None where it has none.

    Raises:
        UserError: where there is no such network.
    """
    teacher = None
    if stem is not None:
        stem = network_cost(stem.features, recipe.data.image_size)
    if packed := packed_targets(recipe):
        # It is not asked again.
        teacher = NetworkCost(0, 0, 0, tuple(packed.packing.strides), tuple(packed.packing.channels))
    elif recipe.guide.teacher not in (None, PIXELS):
        with blame(recipe, "guide.teacher"):
            teacher = network_cost(open_feature_maps(recipe.guide.teacher), recipe.data.image_size)
    return stem, teacher


def network_cost(features, side):
    """The `NetworkCost` of `FeatureMaps` that are given images of `side` pixels."""
    side = features.image_size or side
    flops, activations = _count(features.network, [(1, side, side, 3)])
    return NetworkCost(
        parameters=features.count_params(),
        trainable=sum(math.prod(v.shape) for v in features.trainable_variables),
        flops=flops,
        strides=tuple(features.strides),
        channels=tuple(features.channels),
        activations=activations,
    )


def _count(network, shapes):
    """Of a functional model, and of those within it, for inputs of these shapes: FLOPs of kernels and of attention, and
    how many numbers the layers give."""
    flops = numbers = 0

    def count(layer, *args, **kwargs):
        nonlocal flops, numbers
        output = layer(*args, **kwargs)
        if hasattr(layer, "_nodes_by_depth"):
            inner = _count(layer, [x.shape for x in keras.tree.flatten(args)])
            flops, numbers = flops + inner[0], numbers + inner[1]
            return output
        shape = keras.tree.flatten(output)[0].shape
        numbers += sum(math.prod(each.shape) for each in keras.tree.flatten(output))
        if len(shape) == 3:
            # Each query with each key, and each weight with each value.
            flops += 4 * shape[1] ** 2 * shape[2] * sum(map(_is_attention, layer._flatten_layers()))
        # Of a convolution the kernel's size is what an output cell and channel takes, times the channels; of a
        # depthwise one it is that of all channels. A layer of others' holds its kernels in layers of its own.
        kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")]
        cells = math.prod(shape[:-1])
        flops += 2 * cells * sum(math.prod(kernel.shape) for kernel in kernels)
        return output

    inputs = keras.tree.pack_sequence_as(network.input, [keras.Input(batch_shape=shape) for shape in shapes])
    keras.models.clone_model(network, inputs, clone_function=lambda layer: layer, call_function=count)
    return flops, numbers


def _is_attention(layer):
    """Whether a layer is attention and holds no other that is: others' layers of it have names of their own."""
    inner = (each for each in layer._flatten_layers(include_self=False))
    return "Attention" in type(layer).__name__ and not any("Attention" in type(each).__name__ for each in inner)
