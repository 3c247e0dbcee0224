"""A tiny convolutional network in place of a pretrained one."""

import keras
import numpy as np

from clicv2_keras.models.feature_maps import FeatureMaps


def tiny_feature_maps(seed=0, channels=(4, 6, 8, 10)):
    """`FeatureMaps` of strides 2, 4, 8 and 16 that read images of any size; no weight is 0 or 1."""
    x = image = keras.Input((None, None, 3))
    maps = []
    for count in channels:
        x = keras.layers.Conv2D(count, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU(max_value=6.0)(x)
        maps.append(x)
    network = keras.Model(image, maps)
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        spread = rng.uniform(0.5, 1.5, variable.shape)
        kernel = rng.normal(0, 0.4, variable.shape)
        variable.assign(kernel if len(variable.shape) > 1 else spread)
    return FeatureMaps(network, mean=127.0, scale=128.0)
