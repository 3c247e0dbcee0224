import functools
import importlib
import inspect

import keras
from keras import ops

from clicv2_keras.layers.copy_weights import copy_weights
from clicv2_keras.models.composite import Composite
from clicv2_keras.models.folded_norms import fold_norms
from clicv2_keras.utils.errors import install_hint
from clicv2_keras.utils.views import triangle_filter


@keras.saving.register_keras_serializable(package="clicv2_keras")
class FeatureMaps(Composite, keras.Model):
    """A pretrained network as a giver of feature maps: any image in, the maps of its stages out.

    ```python
    feature_maps = keras.saving.load_model("lite0.keras")
    maps = feature_maps(images)                       # a list, shallow to deep
    stem = feature_maps.select(max_stride=16)         # without the layers below
    ```

    It always infers: batch normalisation by its stored statistics, no dropout, whatever `training` says.

    Args:
        network: a functional `keras.Model`: float (B, S, S, 3), normalised, to one map (B, h, w, C) or several,
            shallow to deep. One of another precision than `dtype` is copied, of one of the same the layers are used.
        mean, scale: the network's normalisation of pixels in [0, 255], (x - mean) / scale: a number, or one a channel.
        image_size: side in pixels that the network reads; images of another size are resized to it, bilinear, by the
            triangle filter that is widened where it shrinks. None reads every image at its own size, or at the one
            that the network is built for.

    Attributes:
        strides: list of int, side of the network's input / side of the map.
        channels: list of int.

    Call arguments:
        images: uint8 or float (B, H, W, 3) in [0, 255].

    Returns:
        list of (B, h, w, C) in the compute dtype.

    Raises:
        ValueError: where the network is not functional, reads no images or gives no maps, or reads another size; when
            loading, where its layers are keras_hub's and that is not installed.
    """

    PARTS = ("network",)

    def __init__(self, network, mean=0.0, scale=1.0, image_size=None, **kwargs):
        # Keras would cast pixels to bfloat16's 8 bits.
        super().__init__(autocast=False, **kwargs)
        self.mean = _numbers("mean", mean)
        self.scale = _numbers("scale", scale)
        self.image_size = _side(network, image_size)
        self.network = _in_policy(network, self.dtype_policy)
        self.channels = [output.shape[-1] for output in network.outputs]
        # Past Keras's tracking, since the layers are the network's; and now, since JAX's `fit` takes variables away.
        self.__dict__["_folded"] = fold_norms(self.network)
        self.built = True

    @functools.cached_property
    def strides(self):
        # Unpadded convolutions lose some pixels at the rim, which a large image makes negligible.
        side = self.image_size or 512
        maps = keras.tree.flatten(self.network.compute_output_spec(keras.KerasTensor((1, side, side, 3))))
        return [round(side / x.shape[1]) for x in maps]

    def select(self, max_stride=None, indices=None):
        """A `FeatureMaps` of some of the maps, its weights copied, without the layers that they do not need.

        Args:
            max_stride: keep the maps of at most this stride; None keeps all.
            indices: keep those of these numbers alone; None keeps all.

        Raises:
            ValueError: where no map is left, or there is none of such a number.
        """
        count = len(self.channels)
        if indices is not None and not all(-count <= i < count for i in indices):
            raise ValueError(f"indices={list(indices)}: the network gives {count} maps, counted from 0.")
        kept = [i % count for i in indices] if indices is not None else range(count)
        kept = [i for i in kept if max_stride is None or self.strides[i] <= max_stride]
        if not kept:
            raise ValueError(f"max_stride={max_stride} leaves no map; the strides are {self.strides}.")
        return self.copy(network=_copy(self.network, self.dtype_policy, kept))

    def copy(self, **changes):
        """A `FeatureMaps` of its own weights with other arguments, such as `dtype` or `image_size`."""
        network = changes.pop("network", None) or _copy(self.network, self.dtype_policy)
        config = {name: value for name, value in self.get_config().items() if name not in ("network", "name")}
        return type(self)(network, **{**config, **changes})

    def build(self, input_shape=None):
        self.built = True

    def call(self, images, training=None):
        # In float32: half precision has no room for the sums and differences of 256 levels.
        pixels = ops.cast(images, "float32")
        if self.image_size:
            pixels = resize(pixels, self.image_size)
        pixels = (pixels - ops.convert_to_tensor(self.mean, "float32")) / ops.convert_to_tensor(self.scale, "float32")
        # One map alone comes as a tensor.
        return keras.tree.flatten(self._folded(ops.cast(pixels, self.compute_dtype), training=False))

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if any(_of_keras_hub(layer) for layer in config["network"]["config"]["layers"]):
            try:
                importlib.import_module("keras_hub")
            except ImportError:
                raise ValueError(f"This network has layers of keras_hub: {install_hint('hub')}.") from None
        return super().from_config(config, custom_objects)

    def get_config(self):
        config = {**super().get_config(), "mean": self.mean, "scale": self.scale, "image_size": self.image_size}
        _mend(config["network"]["config"], self.network)
        return config


def _side(network, image_size):
    """The side in pixels of the images that the network is given; None for any."""
    shapes = [tuple(x.shape) for x in getattr(network, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        raise ValueError(f"network must be a functional model of images (B, H, W, 3), got {network!r} of {shapes}.")
    outputs = [tuple(x.shape) for x in network.outputs]
    if not outputs or any(len(shape) != 4 for shape in outputs):
        raise ValueError(f"network must give maps (B, h, w, C), got outputs of shape {outputs}.")
    sides = {image_size, *shapes[0][1:3]} - {None}
    if len(sides) > 1:
        raise ValueError(f"image_size={image_size}, but the network reads {shapes[0][1]} x {shapes[0][2]} pixels.")
    return sides.pop() if sides else None


def _numbers(name, value):
    values = tuple(float(x) for x in value) if isinstance(value, (list, tuple)) else float(value)
    if isinstance(values, tuple) and len(values) != 3:
        raise ValueError(f"{name} must be a number or 3, got {value!r}.")
    return values


def _in_policy(network, policy):
    if any(layer.dtype_policy.name != policy.name for layer in network._flatten_layers() if layer.weights):
        return _copy(network, policy)
    # Of Keras's own class, one tensor in, whatever it was.
    return keras.Model(network.inputs[0], list(network.outputs), name=network.name)


def _copy(network, policy, kept=None):
    """`network` in another precision, ending at the outputs of the numbers `kept`; new layers of the same weights."""
    outputs = [network.outputs[i] for i in (kept if kept is not None else range(len(network.outputs)))]
    pruned = keras.Model(network.inputs[0], outputs, name=network.name)
    config = pruned.get_config()
    _mend(config, pruned)
    _set_policy(config, keras.saving.serialize_keras_object(policy))
    copied = type(pruned).from_config(config)
    for theirs, ours in zip(copied.layers, pruned.layers, strict=True):
        copy_weights(ours, theirs)
    return copied


def _mend(config, network):
    """Take from the config of `network` what layers of keras_hub write there and cannot be rebuilt by."""
    layers = {layer.name: layer for layer in network.layers}
    for entry in config["layers"]:
        if _of_keras_hub(entry):
            known = {"name", "trainable", "dtype", *inspect.signature(type(layers[entry["name"]]).__init__).parameters}
            entry["config"] = {name: value for name, value in entry["config"].items() if name in known}
            # Layers without a `build` of their own would count as built, without their weights: their call builds them.
            entry.pop("build_config", None)


def _of_keras_hub(entry):
    return (entry.get("module") or "").startswith("keras_hub")


def _set_policy(config, policy):
    for layer in config.get("layers", ()):
        # That of an input, or of an operation such as a cast, is of numbers and no policy.
        if layer["class_name"] != "InputLayer" and isinstance(layer["config"].get("dtype"), dict):
            layer["config"]["dtype"] = policy
        _set_policy(layer["config"], policy)


def resize(images, size):
    """float32 (B, size, size, C): the triangle filter, widened where it shrinks, as Pillow's BILINEAR."""
    height, width = ops.shape(images)[1:3]
    if (height, width) == (size, size):
        return images
    return ops.einsum("yh,bhwc,xw->byxc", _resize_matrix(height, size), images, _resize_matrix(width, size))


def _resize_matrix(length, size):
    step = ops.cast(length, "float32") / size
    return triangle_filter((ops.arange(size, dtype="float32") + 0.5) * step - 0.5, step, length, ops)
