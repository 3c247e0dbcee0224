import json
import sys
import warnings

import keras
import numpy as np
import pytest
from test_backends import run

from clicv2_keras.models import FeatureMaps, open_feature_maps
from clicv2_keras.utils.errors import UserError

SIDE, PATCH, DEPTH = 32, 8, 5
VIT = {"num_layers": DEPTH, "num_heads": 2, "hidden_dim": 8}
IMAGE = {"image_shape": (SIDE, SIDE, 3)}


def resnet(hub):
    return hub.models.ResNetBackbone([64], [7], [64, 64], [1, 1], [1, 2], "basic_block", image_shape=(None, None, 3))


def efficientnet(hub):
    """Made of layers of keras_hub's own."""
    return hub.models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 5],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_block_types=["fused", "unfused"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        width_coefficient=1.0,
        depth_coefficient=1.0,
    )


def mobilenet(hub):
    return hub.models.MobileNetBackbone(
        stackwise_expansion=[[8, 8], [8, 8]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[8, 8], [16, 16]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[0.25, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=24,
        squeeze_and_excite=0.5,
        **IMAGE,
    )


def hgnet(hub):
    return hub.models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 4, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[[8, 4, 8, 1, 1, 3], [8, 4, 16, 1, 1, 3]],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        **IMAGE,
    )


def mit(hub):
    """Its layers cannot be rebuilt from their config."""
    return hub.models.MiTBackbone([1, 1], 2, [1, 2], [2, 1], 0.1, [7, 3], [4, 2], hidden_dims=[4, 8], **IMAGE)


def vgg(hub):
    return hub.models.VGGBackbone([1, 2], [4, 8], **IMAGE)


def vit(hub):
    return hub.models.ViTBackbone(patch_size=PATCH, mlp_dim=16, **VIT, **IMAGE)


def dinov2(hub):
    return hub.models.DINOV2Backbone(
        PATCH, intermediate_dim=16, num_register_tokens=4, position_embedding_shape=(SIDE, SIDE, 3), **VIT, **IMAGE
    )


def deit(hub):
    return hub.models.DeiTBackbone(patch_size=PATCH, intermediate_dim=16, **VIT, **IMAGE)


def pyramid(backbone):
    return list(backbone.pyramid_outputs.values())


# Their strides, and the maps of theirs that can be named: the last ones.
CONVOLUTIONAL = {
    resnet: ([4, 8], pyramid),
    efficientnet: ([2, 4], pyramid),
    mobilenet: ([2, 4, 8, 16], lambda backbone: backbone.outputs),
    hgnet: ([4, 4, 8], lambda backbone: list(backbone.output.values())),
    vgg: ([1, 2, 4], lambda backbone: [backbone.get_layer(f"block{name}").output for name in VGG]),
}
VGG = ("1_conv1", "2_conv2", "2_pool")
# Tokens that they have before those of the patches.
TRANSFORMERS = {vit: 1, dinov2: 5, deit: 2}


def cases(kinds, quick):
    return [pytest.param(k, id=k.__name__, marks=() if k in quick else pytest.mark.slow) for k in kinds]


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub")


@pytest.fixture
def save(hub, tmp_path):
    """Makes a backbone and writes it to a folder of its name: both."""

    def save(kind):
        keras.utils.set_random_seed(0)
        backbone = kind(hub)
        backbone.save_to_preset(tmp_path / kind.__name__)
        return backbone, tmp_path / kind.__name__

    return save


def opened(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the image converter that it lacks
        return open_feature_maps(folder)


def as_arrays(maps):
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(maps)]


@pytest.mark.parametrize("kind", cases(CONVOLUTIONAL, (resnet, efficientnet)))
def test_of_a_convolutional_preset(save, kind, images, tmp_path):
    backbone, folder = save(kind)
    feature_maps = opened(folder)
    strides, outputs = CONVOLUTIONAL[kind]
    assert feature_maps.strides == strides
    maps = as_arrays(feature_maps(images))
    expected = as_arrays(keras.Model(backbone.inputs[0], outputs(backbone))(images.astype("float32"), training=False))
    for ours, theirs in zip(maps[-len(expected) :], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    # What it is stored as has nothing of keras_hub, and reads any image.
    assert "keras_hub" not in json.dumps(keras.saving.serialize_keras_object(feature_maps))
    assert feature_maps(images[:, :16])[0].shape[1] == maps[0].shape[1] // 2
    feature_maps.save(tmp_path / "maps.keras")
    for ours, theirs in zip(maps, as_arrays(open_feature_maps(tmp_path / "maps.keras")(images)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", cases(TRANSFORMERS, (vit, dinov2)))
def test_of_a_transformers_preset(save, kind, images, tmp_path, monkeypatch):
    backbone, folder = save(kind)
    feature_maps = opened(folder)
    assert feature_maps.image_size == SIDE and feature_maps.strides == [PATCH] * 4
    maps = as_arrays(feature_maps(images))
    embed, encoder = backbone.layers[1:3]
    grid, others = SIDE // PATCH, TRANSFORMERS[kind]

    # A pixel of the second row's third patch moves that patch's token alone.
    pixels = images.astype("float32")
    moved = pixels.copy()
    moved[:, PATCH, 2 * PATCH] += 9
    tokens = embed(pixels, training=False)
    changed = np.abs(keras.ops.convert_to_numpy(embed(moved, training=False) - tokens)).max(axis=(0, 2)) > 0
    assert np.flatnonzero(changed).tolist() == [others + grid + 2]

    blocks = []
    for block in encoder.layers if kind is dinov2 else encoder.encoder_layers:
        tokens = block(tokens, training=False)
        tokens = tokens[0] if isinstance(tokens, tuple) else tokens
        blocks.append(keras.ops.convert_to_numpy(tokens)[:, others:].reshape(4, grid, grid, 8))
    for ours, number in zip(maps, (1, 2, 3, 4), strict=True):
        np.testing.assert_allclose(ours, blocks[number], rtol=1e-3, atol=1e-3)
    for again, ours in zip(as_arrays(feature_maps(images, training=True)), maps, strict=True):
        np.testing.assert_array_equal(again, ours)
    feature_maps.save(tmp_path / "maps.keras")
    for ours, theirs in zip(maps, as_arrays(open_feature_maps(tmp_path / "maps.keras")(images)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    # Its layers are keras_hub's own.
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    for name in (folder, tmp_path / "maps.keras"):
        with pytest.raises(UserError, match=r"keras_hub[^\n]*pip install '\.\[hub\]' in a clone"):
            open_feature_maps(name)


def test_the_presets_normalisation(hub, save, images):
    _, folder = save(resnet)
    with pytest.warns(UserWarning, match="no image converter"):
        assert open_feature_maps(folder).scale == 1.0
    scale, offset = [1 / 58.4, 1 / 57.1, 1 / 57.4], [-2.1, -2.0, -1.8]
    converter = hub.layers.ResNetImageConverter(image_size=(SIDE, SIDE), scale=scale, offset=offset)
    converter.save_to_preset(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        feature_maps = open_feature_maps(folder)
    expected = feature_maps.network(keras.ops.convert_to_tensor(np.array(converter(images))))
    for ours, theirs in zip(as_arrays(feature_maps(images)), as_arrays(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_preset_that_cannot_be_stored(save):
    _, folder = save(mit)
    with pytest.raises(UserError, match="mit: gives no feature maps: [^\n]*$"):
        opened(folder)


def test_a_preset_that_is_not_of_images_alone(hub, tmp_path):
    hub.models.BertBackbone(8, 1, 1, 8, 8, max_sequence_length=4).save_to_preset(tmp_path / "bert")
    with pytest.raises(UserError, match="BertBackbone; give a backbone that reads images alone$"):
        open_feature_maps(tmp_path / "bert")
    with pytest.raises(UserError, match="^keras_hub:no_such: gives no feature maps: [^\n]*$"):
        open_feature_maps("keras_hub:no_such")


WITHOUT_KERAS_HUB = """
import sys
sys.modules["keras_hub"] = None
import numpy as np
from clicv2_keras.models import open_feature_maps
maps = open_feature_maps(sys.argv[1])(np.zeros((1, 48, 64, 3), "uint8"))
assert [tuple(x.shape) for x in maps] == [(1, 24, 32, 8), (1, 12, 16, 1280)]
"""


@pytest.mark.slow
def test_of_a_preset_of_images_and_text_that_of_images(hub, images, tmp_path):
    size = {"num_layers": DEPTH, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
    seen = hub.models.CLIPVisionEncoder(patch_size=PATCH, **size, **IMAGE)
    read = hub.models.CLIPTextEncoder(vocabulary_size=16, embedding_dim=8, max_sequence_length=4, **size)
    hub.models.CLIPBackbone(seen, read, projection_dim=8).save_to_preset(tmp_path / "clip")
    feature_maps = opened(tmp_path / "clip")
    assert feature_maps.strides == [PATCH] * 4 and feature_maps.channels == [8] * 4
    assert all(np.ptp(each) > 0 for each in as_arrays(feature_maps(images)))


@pytest.mark.slow
def test_a_convolutional_preset_in_a_process_without_keras_hub(save, tmp_path):
    _, folder = save(efficientnet)
    opened(folder).save(tmp_path / "maps.keras")
    run(keras.backend.backend(), "-c", WITHOUT_KERAS_HUB, tmp_path / "maps.keras")


def test_a_keras_file(images, tmp_path):
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)
    keras.Model({"pixels": image}, {"deep": keras.layers.MaxPooling2D()(x), "a": x}).save(tmp_path / "model.keras")
    feature_maps = open_feature_maps(tmp_path / "model.keras")
    assert isinstance(feature_maps, FeatureMaps) and feature_maps.strides == [2, 4] and feature_maps.image_size is None
    kernel, bias = feature_maps.network.layers[1].get_weights()
    # The image's last pixel is beyond what stride 2 starts from: padded by one on the right.
    by_hand = np.einsum("bhwc,hwcd->bd", images[:, 2:5, 4:7].astype("float32"), kernel) + bias
    np.testing.assert_allclose(as_arrays(feature_maps(images))[0][:, 1, 2], by_hand, rtol=1e-3, atol=1e-2)

    flat = keras.layers.Reshape((8, 8, 2))(keras.layers.Dense(128)(keras.layers.Flatten()(x)))
    keras.Model(image, flat).save(tmp_path / "fixed.keras")
    assert open_feature_maps(tmp_path / "fixed.keras").image_size == SIDE


def test_files_that_are_none(images, tmp_path, tiny_encoder):
    (tmp_path / "broken.keras").write_bytes(b"no archive")
    tiny_encoder.save(tmp_path / "encoder.keras")
    flat = keras.Input((SIDE, SIDE, 3))
    keras.Model(flat, keras.layers.GlobalAveragePooling2D()(flat)).save(tmp_path / "vector.keras")
    (tmp_path / "folder").mkdir()
    for name, message in {
        "absent.keras": "there is no such file",
        "model.h5": "give a .keras file",
        "folder": "save_to_preset wrote",
        "broken.keras": "gives no feature maps: ",
        "encoder.keras": "must be a functional model of images",
        "vector.keras": r"must give maps \(B, h, w, C\)",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            open_feature_maps(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_a_file_is_opened_in_the_precision_of_the_run(tmp_path, rng):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2)(keras.ops.convert_to_tensor(image, dtype="float32") / 2.0)
    FeatureMaps(keras.Model(image, x), mean=127.0, scale=128.0).save(tmp_path / "maps.keras")
    images = rng.integers(0, 256, (1, 16, 16, 3)).astype("uint8")
    maps = []
    for policy, dtype in (("float32", "float32"), ("mixed_bfloat16", "bfloat16")):
        keras.config.set_dtype_policy(policy)
        try:
            found = open_feature_maps(tmp_path / "maps.keras")
        finally:
            keras.config.set_dtype_policy("float32")
        (only,) = found(images)
        assert keras.backend.standardize_dtype(only.dtype) == dtype
        maps.append(keras.ops.convert_to_numpy(keras.ops.cast(only, "float32")))
    np.testing.assert_allclose(*maps, atol=0.02 * np.abs(maps[0]).max())


def test_a_network_that_normalises_by_what_it_has_seen_is_the_same_in_every_copy(tmp_path, rng):
    """Keras's EfficientNets have such a layer: its statistics are weights, of which it computes something else."""
    images = rng.integers(0, 256, (4, SIDE, SIDE, 3)).astype("float32")
    image = keras.Input((SIDE, SIDE, 3))
    normalization = keras.layers.Normalization()
    normalization.adapt(images)
    first = keras.layers.Conv2D(4, 3, strides=4, padding="same")(normalization(image))
    network = keras.Model(image, [first, keras.layers.Conv2D(8, 3, strides=2, padding="same")(first)])
    network.save(tmp_path / "network.keras")
    expected = [keras.ops.convert_to_numpy(each) for each in network(images)]

    found = open_feature_maps(str(tmp_path / "network.keras"))
    found.save(tmp_path / "maps.keras")
    kinds = {
        "opened": found,
        "selected": found.select(indices=[0, 1]),
        "read again": keras.saving.load_model(tmp_path / "maps.keras"),
        "copied": found.copy(dtype="mixed_bfloat16").copy(dtype="float32"),
    }
    for kind, maps in kinds.items():
        for one, other in zip(expected, maps(images), strict=True):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(other), one, atol=1e-4, err_msg=kind)
