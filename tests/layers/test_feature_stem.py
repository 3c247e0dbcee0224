import keras
import numpy as np
from keras import ops
from reference import side_by_side
from tiny_network import tiny_feature_maps

from clicv2_keras.layers import FeatureStem
from clicv2_keras.layers.set_trainable import set_trainable


def numpy(x):
    return ops.convert_to_numpy(x)


def test_agrees_with_numpy_and_is_standardised(images):
    stem = FeatureStem(tiny_feature_maps())
    expected = side_by_side(map(numpy, stem.features(images)), 4, 4)
    assert stem.width == expected.shape[-1] == 28
    np.testing.assert_allclose(numpy(stem(images, grid=(4, 4))), expected, atol=1e-4)
    stem.adapt(images, (4, 4), batch_size=3)
    flat = expected.reshape(-1, 28)
    expected = (expected - flat.mean(axis=0)) / np.maximum(flat.std(axis=0), 1e-3)
    np.testing.assert_allclose(numpy(stem(images, grid=(4, 4))), expected, atol=2e-3)


def test_other_grids(images):
    stem = FeatureStem(tiny_feature_maps())
    wide = np.concatenate([images, images], axis=2)
    np.testing.assert_allclose(
        numpy(stem(wide, grid=(4, 8))), side_by_side(map(numpy, stem.features(wide)), 4, 8), atol=1e-4
    )


def test_frozen_or_trained_but_never_by_the_batchs_statistics(images):
    frozen, trained = FeatureStem(tiny_feature_maps()), FeatureStem(tiny_feature_maps(), trainable=True)
    assert frozen.trainable_variables == []
    # A kernel, a gain and a shift a stage: no statistics.
    assert len(trained.trainable_variables) == 12
    before = trained.get_weights()
    outputs = [numpy(trained(images[:count], grid=(4, 4), training=True))[0] for count in (1, 4)]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_config_round_trip(images):
    stem = FeatureStem(tiny_feature_maps(), trainable=True)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(stem))
    assert again.trainable and len(again.trainable_variables) == 12
    again.set_weights(stem.get_weights())
    np.testing.assert_array_equal(numpy(again(images, grid=(4, 4))), numpy(stem(images, grid=(4, 4))))


def test_what_was_frozen_can_be_trained_again(images):
    frozen = keras.saving.serialize_keras_object(FeatureStem(tiny_feature_maps()))
    stem = FeatureStem(keras.saving.deserialize_keras_object(frozen).features, trainable=True)
    assert len(stem.trainable_variables) == 12
    set_trainable(stem, False)
    assert stem.trainable_variables == []
