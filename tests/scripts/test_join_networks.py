import functools
from pathlib import Path

import keras
import numpy as np
import pytest
from load_program import load_program

from clicv2_keras.models import FeatureMaps

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "join_networks.py"
checked = load_program(SCRIPT.with_name("checked_feature_maps.py"))


def network(filters, **settings):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    return FeatureMaps(keras.Model(image, [x, keras.layers.MaxPooling2D(2)(x)]), **settings)


@pytest.fixture
def networks():
    keras.utils.set_random_seed(0)
    return [network(4, mean=127.0, scale=128.0), network(6, mean=(1, 2, 3), scale=(50, 60, 70), image_size=16)]


@pytest.fixture(scope="module")
def script():
    return load_program(SCRIPT)


def test_the_maps_of_both_in_order_from_a_file(script, networks, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    FeatureMaps(script.join(networks)).save(tmp_path / "joint.keras")
    joint = keras.saving.load_model(tmp_path / "joint.keras")
    assert joint.channels == [4, 4, 6, 6] and joint.image_size is None
    # A half of each side: every second sample of the mean of two, by which "bilinear" goes.
    small = images.reshape(2, 16, 2, 16, 2, 3).mean(axis=(2, 4)).astype("float32")
    expected = [*networks[0](images), *networks[1](small)]
    for ours, theirs in zip(joint(images), expected, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs), rtol=1e-4, atol=1e-4
        )


def test_normalisations_are_folded_as_a_single_networks(script, networks):
    joint = FeatureMaps(script.join(networks))
    assert not any(isinstance(layer, keras.Model) for layer in joint.network.layers)
    assert sum(type(layer).__name__ == "FoldedConvolution" for layer in joint._folded.layers) == 2


def test_it_tells_how_far_it_is_from_the_single_networks(script, networks):
    joint = FeatureMaps(script.join(networks))
    of_each, images = functools.partial(script.single_maps, networks), checked.sample_images(64)
    assert checked.largest_difference(joint, of_each, images) < script.TOLERANCE
    # What is no number differs, whatever the maps before it.
    of_none = lambda images: [*of_each(images)[:-1], np.full_like(of_each(images)[-1], np.nan)]  # noqa: E731
    assert not checked.largest_difference(joint, of_none, images) < script.TOLERANCE
    for layer in joint.network.layers:
        layer.set_weights([2 * w + 0.1 for w in layer.get_weights()])
    assert checked.largest_difference(joint, of_each, images) > script.TOLERANCE


def test_two_of_one_family(script, networks, tmp_path):
    """Whose layers have the same names."""
    twice = [networks[0], networks[0].copy()]
    FeatureMaps(script.join(twice)).save(tmp_path / "joint.keras")
    joint, images = keras.saving.load_model(tmp_path / "joint.keras"), checked.sample_images(64)
    of_each = functools.partial(script.single_maps, twice)
    assert checked.largest_difference(joint, of_each, images) < script.TOLERANCE
