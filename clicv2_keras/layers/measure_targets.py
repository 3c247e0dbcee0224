import keras
import numpy as np
from keras import ops

# Beyond so many deviations a measure tells no more.
MOST = 4.0


@keras.saving.register_keras_serializable(package="clicv2_keras")
class MeasureTargets(keras.layers.Layer):
    """Numbers that were measured in images, standardised: the targets of a guide without a network.

    Args:
        count: measures an image.

    Call arguments:
        measures: float (B, count).

    Returns:
        float32 (B, count): distances from the mean in deviations, within [-4, 4].
    """

    def __init__(self, count, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(trainable=False, **kwargs)
        self.count = self.pooled_dim = count
        self.mean = self.add_weight(shape=(count,), initializer="zeros", name="mean")
        self.deviation = self.add_weight(shape=(count,), initializer="ones", name="deviation")
        self.built = True

    def fit(self, measures):
        """Take mean and deviation from measures (n, count)."""
        self.mean.assign(np.mean(measures, axis=0))
        self.deviation.assign(np.maximum(np.std(measures, axis=0), 1e-6))

    def call(self, measures):
        return ops.clip((ops.cast(measures, "float32") - self.mean) / self.deviation, -MOST, MOST)

    def get_config(self):
        config = {**super().get_config(), "count": self.count}
        return {key: value for key, value in config.items() if key != "trainable"}
