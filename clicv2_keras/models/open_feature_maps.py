"""`FeatureMaps` by name: of a keras_hub backbone, or of a model in a `.keras` file."""

import inspect
import warnings

import keras
import numpy as np
from keras import layers

from clicv2_keras.layers.copy_weights import copy_weights
from clicv2_keras.models.feature_maps import FeatureMaps
from clicv2_keras.utils.errors import UserError, install_hint
from clicv2_keras.utils.paths import user_path

PREFIX = "keras_hub:"
SAVED_MODEL = "saved_model.pb"
BLOCKS = 4  # of a transformer, that give a map each
OF_NO_STAGE = (layers.InputLayer, layers.ZeroPadding2D)


def open_feature_maps(name):
    """The pretrained network `name` as a giver of feature maps.

    Args:
        name: one of

            - `"keras_hub:PRESET"`, or a folder that keras_hub's `save_to_preset` wrote, of a backbone that reads images
              (alone, or beside text by a vision encoder). A convolutional one gives a map a stage, a transformer the
              patch tokens of four evenly spaced blocks, no class or register tokens. The normalisation is that of the
              preset's image converter; where it has none, a warning says that pixels are read as they are.
            - a `.keras` file: of `FeatureMaps`, or of a functional model whose outputs are maps (B, h, w, C), shallow
              to deep, and which reads pixels in [0, 255].

    Returns:
        `FeatureMaps`. It reads images of any size where the network does, else resizes them to the network's size.

    Raises:
        UserError: where there is nothing of that name, it gives no maps of images, or keras_hub is not installed.
    """
    name = str(name)
    if name.startswith(PREFIX):
        return _of_preset(name, name.removeprefix(PREFIX))
    path = user_path(name)
    if path.is_dir():
        if (path / SAVED_MODEL).is_file():
            raise UserError(f"{name}: a SavedModel teaches from packed targets alone: clicv2-keras prepare --teacher")
        if not (path / "config.json").is_file():
            raise UserError(f"{name}: holds no config.json; give a folder that keras_hub's save_to_preset wrote")
        return _of_preset(name, str(path))
    if path.suffix != ".keras":
        raise UserError(f"{name}: give a .keras file, a keras_hub preset's folder, or {PREFIX}PRESET")
    if not path.is_file():
        raise UserError(f"{name}: there is no such file")
    model = _try(name, lambda: keras.saving.load_model(path, compile=False))
    if isinstance(model, FeatureMaps):
        # A file's own precision is that of whoever saved it.
        policy = keras.config.dtype_policy()
        return model if model.dtype_policy.name == policy.name else model.copy(dtype=policy)
    return _try(name, lambda: FeatureMaps(_of_any_size(FeatureMaps(model).network)))


def open_teacher(name):
    """A network that is asked outside of a training step: one that `open_feature_maps` opens, or a SavedModel.

    Raises:
        UserError: as `open_feature_maps` and `SavedModelMaps` do.
    """
    path = user_path(name)
    if not (path / SAVED_MODEL).is_file():
        return open_feature_maps(name)
    # On demand: it needs TensorFlow.
    from clicv2_keras.models.saved_model_tensorflow import SavedModelMaps

    return SavedModelMaps(path)


def _try(name, load):
    try:
        return load()
    except UserError:
        raise
    except Exception as error:  # what foreign files, libraries and the network lead to
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise UserError(f"{name}: gives no feature maps: {reason}") from None


def _of_preset(name, preset):
    try:
        import keras_hub
    except ImportError:
        raise UserError(f"{name}: needs keras_hub; {install_hint('hub')}") from None
    backbone = _try(name, lambda: keras_hub.models.Backbone.from_preset(preset))
    # Of a backbone of images and text, that of images.
    backbone = getattr(backbone, "vision_encoder", backbone)
    shapes = [tuple(x.shape) for x in backbone.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        raise UserError(f"{name}: holds a {type(backbone).__name__}; give a backbone that reads images alone")
    maps = _try(name, lambda: _maps(backbone))
    if not maps:
        raise UserError(f"{name}: it is not known where a {type(backbone).__name__} has its feature maps")
    network = _of_any_size(_plain(keras.Model(backbone.inputs[0], maps, name=backbone.name)))
    feature_maps = _try(name, lambda: FeatureMaps(network, **_normalisation(name, preset)))
    # Some layers of keras_hub cannot be stored: better said here than at the end of a run.
    copied = _try(name, feature_maps.copy)
    if not _compute_the_same(copied.network, feature_maps.network):
        raise UserError(f"{name}: a {type(backbone).__name__} is not the same when it is stored and read again")
    return copied


def _normalisation(name, preset):
    """The mean and scale of (x - mean) / scale that do what the preset's image converter does: x · scale + offset."""
    from keras_hub.layers import ImageConverter

    try:
        converter = ImageConverter.from_preset(preset)
    except (FileNotFoundError, ValueError):  # no such file, or no such class for this backbone
        warnings.warn(f"{name}: has no image converter; its network is given pixels in [0, 255]", stacklevel=5)
        return {}
    scale = np.broadcast_to(1.0 if converter.scale is None else converter.scale, 3)
    offset = np.broadcast_to(0.0 if converter.offset is None else converter.offset, 3)
    return {"mean": (-offset / scale).tolist(), "scale": (1.0 / scale).tolist()}


def _maps(backbone):
    """Symbolic maps (B, h, w, C) of a keras_hub backbone, shallow to deep."""
    pyramid = getattr(backbone, "pyramid_outputs", {})
    if pyramid and all(len(x.shape) == 4 for x in pyramid.values()):
        return list(pyramid.values())
    if all(len(x.shape) == 4 for x in backbone.outputs):
        return _stages(backbone)
    blocks = [x for name, x in pyramid.items() if name != "stem"] or _blocks(backbone)
    if not blocks:
        return []
    patch_size = backbone.patch_size if isinstance(backbone.patch_size, int) else backbone.patch_size[0]
    spaced = sorted({-(-len(blocks) * (i + 1) // BLOCKS) - 1 for i in range(BLOCKS)})
    return [_as_map(blocks[i], backbone.image_shape[0] // patch_size) for i in spaced]


def _blocks(backbone):
    """The tokens (B, N, C) that each block of a transformer gives; none where its blocks are not known."""
    if hasattr(backbone, "encoder_layers"):
        return [block.output for block in backbone.encoder_layers]
    outputs = []
    for encoder in (layer for layer in backbone.layers if hasattr(layer, "encoder_layers")):
        # The dropout before the blocks does nothing in inference.
        tokens = encoder.input
        for block in encoder.encoder_layers:
            if "return_attention_scores" in inspect.signature(block.call).parameters:
                # Without, it returns a None beside the tokens, for which a functional model has no place.
                tokens, _ = block(tokens, return_attention_scores=True)
            else:
                tokens = block(tokens)
            outputs.append(tokens)
    return outputs


def _as_map(tokens, side):
    """The patch tokens of (B, N, C) as (B, side, side, C); class and register tokens come before them."""
    others = tokens.shape[1] - side * side
    if others:
        tokens = layers.Cropping1D((others, 0))(tokens)
    return layers.Reshape((side, side, tokens.shape[-1]))(tokens)


def _stages(backbone):
    """The outputs of a convolutional backbone; where it has one alone, the last map of each stride on the way to it."""
    if isinstance(backbone.output, dict):
        return list(backbone.output.values())
    tensors = [layer.output for layer in backbone.layers if not isinstance(layer, OF_NO_STAGE)]
    tensors = [x for x in tensors if isinstance(x, keras.KerasTensor) and len(x.shape) == 4]
    side = backbone.inputs[0].shape[1] or 256
    maps = _spec(keras.Model(backbone.inputs[0], tensors), side)
    # Unpadded convolutions take a few pixels, which makes no stage.
    last = {round(side / x.shape[1]): tensor for x, tensor in zip(maps, tensors, strict=True)}
    return [tensor for stride, tensor in last.items() if stride <= round(side / maps[-1].shape[1])]


def _spec(network, side):
    """The network's maps of an image of `side` pixels, as symbolic tensors."""
    return keras.tree.flatten(network.compute_output_spec(keras.KerasTensor((1, side, side, 3))))


def _plain(network):
    """`network` of Keras's own layers, those that keras_hub's are made of; as it is where that cannot be."""
    plain = network
    try:
        while hubs := [layer for layer in plain.layers if _opens(layer)]:
            if any(_own_weights(layer) for layer in hubs):
                return network
            plain = keras.models.clone_model(plain, clone_function=lambda layer: layer, call_function=_call)
        return plain if _compute_the_same(plain, network) else network
    except Exception:  # whatever a layer says that was not made to be opened: two inner layers of one name, a shape
        return network


def _call(layer, *args, **kwargs):
    if isinstance(layer, layers.Identity):
        return args[0]
    # A layer's `call` by itself leaves what it calls in the graph, in its place.
    return layer.call(*args, **kwargs) if _of_hub(layer) else layer(*args, **kwargs)


def _compute_the_same(network, other):
    side = network.inputs[0].shape[1] or 64
    images = np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3)).astype("float32")
    pairs = zip(*(keras.tree.flatten(x(images, training=False)) for x in (network, other)), strict=True)
    return all(np.allclose(*map(keras.ops.convert_to_numpy, pair), rtol=1e-3, atol=1e-3) for pair in pairs)


def _opens(layer):
    # keras_hub makes an Identity that cannot be stored.
    return _of_hub(layer) or isinstance(layer, layers.Identity)


def _of_hub(layer):
    return type(layer).__module__.startswith("keras_hub")


def _own_weights(layer):
    inner = {id(w) for part in layer._flatten_layers(include_self=False) for w in part.weights}
    return [w for w in layer.weights if id(w) not in inner]


def _of_any_size(network):
    """`network` with an input of any height and width, where its maps grow with them."""
    side = network.inputs[0].shape[1]
    if side is None or any(_of_hub(layer) for layer in network.layers):
        return network
    config = network.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_shape"] = (None, None, None, 3)
    try:
        free = keras.Model.from_config(config)
        maps = _spec(free, 2 * side)
    except Exception:  # whatever a layer says of a size that it was not made for
        return network
    if not all(large.shape[1] > 1.5 * small.shape[1] for large, small in zip(maps, network.outputs, strict=True)):
        return network
    for theirs, ours in zip(free.layers, network.layers, strict=True):
        copy_weights(ours, theirs)
    return free
