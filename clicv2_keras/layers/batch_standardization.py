import keras
from keras import ops

from clicv2_keras.layers.replicas import moments

STATISTICS = ("all", "position")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class BatchStandardization(keras.layers.Layer):
    """Batch normalisation without memory: every call uses the statistics of its own batch, of all replicas.

    The heads of MoCo v3 (arXiv 2104.02057) use BatchNorm. A frozen `keras.layers.BatchNormalization` falls back on
    its moving statistics, so an EMA teacher made of it would normalise by 0 and 1 that never move.

    Args:
        affine: learn a scale and an offset a feature.
        statistics: `"all"`: over batch and tokens together; `"position"`: over the batch, each position by itself.

    Call arguments:
        x: float (B, n, C).

    Returns:
        float (B, n, C), of mean 0 and deviation 1 a feature before scale and offset.

    Raises:
        ValueError: where `statistics` is neither.
    """

    def __init__(self, affine=True, statistics="all", epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        if statistics not in STATISTICS:
            raise ValueError(f"statistics must be one of {', '.join(STATISTICS)}, got {statistics!r}.")
        self.affine = affine
        self.statistics = statistics
        self.epsilon = epsilon

    def build(self, input_shape):
        if self.affine:
            self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma")
            self.beta = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="beta")
        self.built = True

    def call(self, x):
        wide = ops.cast(x, "float32")
        axes = (0, 1) if self.statistics == "all" else (0,)
        mean, variance = moments(wide, axes)
        wide = (wide - mean) * ops.rsqrt(variance + self.epsilon)
        if self.affine:
            wide = wide * ops.cast(self.gamma, "float32") + ops.cast(self.beta, "float32")
        return ops.cast(wide, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "affine": self.affine,
            "statistics": self.statistics,
            "epsilon": self.epsilon,
        }
