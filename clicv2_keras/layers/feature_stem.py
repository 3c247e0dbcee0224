import keras
import numpy as np
from keras import ops

from clicv2_keras.layers.copy_weights import copy_weights
from clicv2_keras.layers.set_trainable import set_trainable


@keras.saving.register_keras_serializable(package="clicv2_keras")
class FeatureStem(keras.layers.Layer):
    """What a pretrained network sees at each patch: its feature maps, brought to the patches' grid, side by side.

    The patch embedding of the hybrid ViT (arXiv 2010.11929), read at every depth and not at the last alone. Maps that
    are finer than the grid are averaged, coarser ones interpolated. Each channel is standardised by the mean and the
    deviation that `adapt` measured.

    Args:
        features: a `FeatureMaps`; `features.select(max_stride=16)` are its first stages alone.
        trainable: train the network's weights; its BatchNorm always keeps its stored statistics.

    Call arguments:
        images: uint8 or float (B, H, W, 3) in [0, 255].
        grid: rows and columns of patches.

    Returns:
        float (B, rows · columns, C), of all maps' channels, patches row by row.
    """

    def __init__(self, features, trainable=False, **kwargs):
        # Keras would cast pixels to bfloat16's 8 bits.
        super().__init__(autocast=False, **kwargs)
        if isinstance(features, dict):
            features = keras.saving.deserialize_keras_object(features)
        self.features = features
        self.width = sum(features.channels)
        self.build()
        # After the weights are there: Keras passes it on to what a layer holds at that moment.
        set_trainable(self, trainable)

    def build(self, input_shape=None):
        def statistic(name, initial):
            return self.add_weight(shape=(self.width,), initializer=initial, trainable=False, name=name)

        self.mean = statistic("mean", "zeros")
        self.deviation = statistic("deviation", "ones")
        self.built = True

    def call(self, images, grid):
        features = self._side_by_side(images, grid)
        return ops.cast((features - self.mean) / self.deviation, self.compute_dtype)

    def adapt(self, images, grid, batch_size=32):
        """Measure each channel's mean and deviation over the patches of uint8 images (n, H, W, 3)."""
        total = np.zeros((2, self.width))
        for start in range(0, len(images), batch_size):
            features = self._side_by_side(ops.convert_to_tensor(images[start : start + batch_size]), grid)
            features = ops.convert_to_numpy(features).astype("float64")
            total += features.mean(axis=1).sum(axis=0), np.square(features).mean(axis=1).sum(axis=0)
        mean, square = total / len(images)
        self.mean.assign(mean)
        # A channel that hardly ever moves says nothing, and must not be blown up.
        self.deviation.assign(np.sqrt(np.maximum(square - mean**2, 1e-6)))

    def copy(self, dtype):
        """A stem of the same weights in another precision, its network too."""
        config = {**self.get_config(), "features": self.features.copy(dtype=dtype), "dtype": dtype}
        other = type(self)(**config)
        copy_weights(self, other)
        return other

    def _side_by_side(self, images, grid):
        maps = [ops.cast(on_grid(each, grid), "float32") for each in self.features(images)]
        return ops.reshape(ops.concatenate(maps, axis=-1), (-1, grid[0] * grid[1], self.width))

    def get_config(self):
        return {**super().get_config(), "features": keras.saving.serialize_keras_object(self.features)}


def on_grid(features, grid):
    """A feature map (B, h, w, C) at the size of `grid`: (B, rows, columns, C).

    Averaged where it is a whole number of times as fine, else interpolated.
    """
    rows, columns = grid
    height, width = features.shape[1:3]
    if (height, width) == (rows, columns):
        return features
    if height % rows == 0 and width % columns == 0:
        cell = (height // rows, width // columns)
        return ops.average_pool(features, cell, strides=cell, data_format="channels_last")
    return ops.image.resize(features, grid, interpolation="bilinear", data_format="channels_last")
