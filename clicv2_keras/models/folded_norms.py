"""Batch normalisation by stored statistics as part of the convolution before it: the same numbers, a pass less each."""

import keras
from keras import ops

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fold_norms(network):
    """A model that computes what a functional `network` infers, with the same variables, and is never to be saved.

    A normalisation right after a convolution is none any more: its factor multiplies the kernel at each call, so that
    gradients reach all of both. On a CPU TensorFlow is then 1.5 times as fast in float32, 3.7 times in
    bfloat16 (EfficientNet-Lite2; benchmarks/results/guide_cost.md). A functional model that is one of its layers is
    folded likewise. Everything else is run by the network's own layers.

    Returns:
        A functional `keras.Model`; `network` itself where nothing can be folded.
    """
    pairs = dict(_pairs(network))
    inner = {layer: fold_norms(layer) for layer in network.layers if hasattr(layer, "_nodes_by_depth")}
    if not pairs and all(folded is layer for layer, folded in inner.items()):
        return network
    convolutions = set(pairs.values())

    def call(layer, *args, **kwargs):
        if layer in convolutions:
            return args[0]
        if layer in pairs:
            return FoldedConvolution(pairs[layer], layer)(args[0])
        return inner.get(layer, layer)(*args, **kwargs)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def _pairs(network):
    """(normalisation, convolution) that can be one: nobody else reads the convolution, and both see channels last."""
    shown = {id(tensor) for tensor in network.outputs}
    nodes = [node for depth in network._nodes_by_depth.values() for node in depth]
    reads = [id(tensor) for node in nodes for tensor in node.input_tensors]
    for node in nodes:
        norm = node.operation
        if type(norm) is not keras.layers.BatchNormalization:
            continue
        (tensor,) = node.input_tensors
        convolution = tensor._keras_history.operation
        alone = reads.count(id(tensor)) == 1 and id(tensor) not in shown
        once = sum(each.operation is convolution or each.operation is norm for each in nodes) == 2
        if (
            type(convolution) in CONVOLUTIONS
            and alone
            and once
            and convolution.data_format == "channels_last"
            and norm.axis in (-1, 3)
            and convolution.activation is keras.activations.linear
        ):
            yield norm, convolution


class FoldedConvolution(keras.layers.Layer):
    """A convolution and the normalisation after it, whose layers they stay, as one convolution."""

    def __init__(self, convolution, norm):
        # The kernel is multiplied in float32, then cast as the image is.
        super().__init__(dtype=convolution.dtype_policy, autocast=False)
        self.convolution = convolution
        self.norm = norm
        self.built = True

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def call(self, inputs):
        convolution, norm = self.convolution, self.norm
        factor = ops.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.scale:
            factor = factor * norm.gamma
        offset = (convolution.bias - norm.moving_mean if convolution.use_bias else -norm.moving_mean) * factor
        if norm.center:
            offset = offset + norm.beta
        run, shape = ops.conv, (1, 1, 1, -1)
        if isinstance(convolution, keras.layers.DepthwiseConv2D):
            run, shape = ops.depthwise_conv, (1, 1, -1, convolution.depth_multiplier)
        kernel = convolution.kernel * ops.reshape(factor, shape)
        found = run(
            ops.cast(inputs, self.compute_dtype),
            ops.cast(kernel, self.compute_dtype),
            strides=convolution.strides,
            padding=convolution.padding,
            dilation_rate=convolution.dilation_rate,
            data_format=convolution.data_format,
        )
        return found + ops.cast(offset, self.compute_dtype)
