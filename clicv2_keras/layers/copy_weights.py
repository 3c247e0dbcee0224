"""Weights of one layer for another of the same kind."""

import keras


def copy_weights(source, target):
    """Give a layer or model the weights of another of the same shapes, and what it makes of them.

    After `set_weights` alone Keras's `Normalization` would compute with the statistics of before.
    """
    target.set_weights(source.get_weights())
    for layer in target._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
