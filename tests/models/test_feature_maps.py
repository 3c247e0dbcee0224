import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from clicv2_keras.models import FeatureMaps
from clicv2_keras.models.presets import save_preset

MEAN, SCALE = (120.0, 115.0, 100.0), 60.0


def as_arrays(maps):
    return [keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in maps]


def randomise(network, rng):
    """Weights, and statistics of the normalisations, that are not the initial ones."""
    for layer in network.layers:
        layer.set_weights(
            [
                rng.uniform(0.5, 1.5, w.shape) * rng.choice((-1, 1) if w.ndim > 1 else (1,), w.shape)
                for w in layer.get_weights()
            ]
        )
    return network


@pytest.fixture
def network(rng):
    """Maps of strides 2, 4 and 4; with what training would do otherwise, and a layer that is used twice."""
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    x = first = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    x = second = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    twice = layers.DepthwiseConv2D(3, padding="same")
    return randomise(keras.Model(image, [first, second, layers.Add()([twice(twice(x)), x])]), rng)


@pytest.fixture
def feature_maps(network):
    return FeatureMaps(network, MEAN, SCALE)


@pytest.fixture
def pixels():
    """What gives back its input, as one map."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, layers.Activation("linear")(image))


def test_what_it_says_of_its_maps(feature_maps, images):
    assert feature_maps.strides == [2, 4, 4] and feature_maps.channels == [4, 6, 6]
    assert [x.shape for x in as_arrays(feature_maps(images))] == [(4, 16, 16, 4), (4, 8, 8, 6), (4, 8, 8, 6)]
    assert [x.shape for x in as_arrays(feature_maps(images[:, :16]))][0] == (4, 8, 16, 4)


def test_it_infers_whatever_training_says(feature_maps, network, images):
    before = [w.copy() for w in network.get_weights()]
    expected = network.predict((images - np.float32(MEAN)) / SCALE, verbose=0)
    for training in (False, True):
        for ours, theirs in zip(as_arrays(feature_maps(images, training=training)), expected, strict=True):
            # Backends add in another order, to sums of hundreds.
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("mean, scale", [(127, 128), ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))])
def test_the_networks_normalisation(pixels, images, dtype, mean, scale):
    (out,) = as_arrays(FeatureMaps(pixels, mean, scale)(images.astype(dtype)))
    np.testing.assert_allclose(out, (images - np.float64(mean)) / np.float64(scale), atol=1e-5)


@pytest.mark.parametrize("size", [13, 32, 60])
def test_other_sizes_are_resized_as_pillow_does(pixels, rng, size):
    image = rng.uniform(0, 255, (32, 48, 3)).astype("float32")
    channels = [Image.fromarray(c).resize((size, size), Image.BILINEAR) for c in image.transpose(2, 0, 1).copy()]
    feature_maps = FeatureMaps(pixels, image_size=size)
    np.testing.assert_allclose(as_arrays(feature_maps(image[None]))[0][0], np.stack(channels, -1), atol=1e-2)
    assert feature_maps.strides == [1]


def test_select_leaves_out_what_lies_deeper(feature_maps, images):
    maps = as_arrays(feature_maps(images))
    shallow = feature_maps.select(max_stride=2)
    assert shallow.strides == [2] and shallow.count_params() == 4 * 27 + 4 + 4 * 4
    np.testing.assert_array_equal(as_arrays(shallow(images))[0], maps[0])
    for kept, select in (([0, 2], {"indices": [0, 2]}), ([2], {"indices": [-1], "max_stride": 4})):
        selected = feature_maps.select(**select)
        for ours, number in zip(as_arrays(selected(images)), kept, strict=True):
            np.testing.assert_array_equal(ours, maps[number])
    # Training the selected one leaves the other as it was.
    shallow.network.set_weights([w * 0 for w in shallow.network.get_weights()])
    np.testing.assert_array_equal(as_arrays(feature_maps(images))[0], maps[0])


def test_round_trips(feature_maps, images, tmp_path):
    expected = as_arrays(feature_maps(images))
    feature_maps.save(tmp_path / "maps.keras")
    loaded = keras.saving.load_model(tmp_path / "maps.keras")
    assert (loaded.mean, loaded.scale, loaded.image_size) == (MEAN, SCALE, None)
    for ours, theirs in zip(as_arrays(loaded(images)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_as_a_preset(feature_maps, images, tmp_path, monkeypatch):
    from clicv2_keras.models import presets

    save_preset(feature_maps.copy(image_size=32), tmp_path / "tiny")
    monkeypatch.setattr(presets, "trained_presets", lambda: {"tiny": tmp_path / "tiny"})
    loaded = presets.load_preset(FeatureMaps, "tiny")
    assert loaded.image_size == 32
    for ours, theirs in zip(as_arrays(loaded(images)), as_arrays(feature_maps(images)), strict=True):
        # Stored in half precision.
        np.testing.assert_allclose(ours, theirs, atol=2e-2 * np.abs(theirs).max())


def test_in_half_precision(feature_maps, images, tmp_path):
    half = feature_maps.copy(dtype="mixed_bfloat16")
    maps = half(images)
    assert all(keras.backend.standardize_dtype(x.dtype) == "bfloat16" for x in maps)
    assert all(keras.backend.standardize_dtype(w.dtype) == "float32" for w in half.weights)
    for ours, theirs in zip(as_arrays(maps), as_arrays(feature_maps(images)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-2 * np.abs(theirs).max())
    # The one that it was copied from goes on in float32.
    assert keras.backend.standardize_dtype(feature_maps(images)[0].dtype) == "float32"
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    np.testing.assert_array_equal(as_arrays(loaded(images))[-1], as_arrays(maps)[-1])


def test_what_it_refuses(network, feature_maps):
    flat = keras.Input((8,))
    with pytest.raises(ValueError, match="functional model of images"):
        FeatureMaps(keras.Model(flat, layers.Dense(2)(flat)))
    with pytest.raises(ValueError, match="must give maps"):
        FeatureMaps(keras.Model(network.inputs, layers.GlobalAveragePooling2D()(network.outputs[0])))
    fixed = keras.Input((32, 32, 3))
    with pytest.raises(ValueError, match="reads 32 x 32 pixels"):
        FeatureMaps(keras.Model(fixed, layers.Conv2D(2, 3)(fixed)), image_size=64)
    with pytest.raises(ValueError, match="mean must be a number or 3"):
        FeatureMaps(network, mean=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"the strides are \[2, 4, 4\]"):
        feature_maps.select(max_stride=1)
    with pytest.raises(ValueError, match="gives 3 maps"):
        feature_maps.select(indices=[3])
