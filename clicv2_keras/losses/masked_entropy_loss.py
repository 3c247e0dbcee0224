import keras
from keras import ops


@keras.saving.register_keras_serializable(package="clicv2_keras")
class MaskedEntropyLoss(keras.layers.Layer):
    """Mean squared error on standardised entropies, or on several statistics, each standardised by itself.

    Raw entropies in [0, 1] give errors of some hundredths, against a contrastive loss of some units. Standardised by
    their running mean and deviation, both losses are of order 1, and a weight of 1 between them means something.

    Args:
        momentum: share of the running mean and deviation that a step keeps, once enough steps have been averaged.
        statistics: how many there are.

    Call arguments:
        predictions: float (B, M), standardised: 0 is the mean entropy, 1 a deviation above it. Of several statistics
            (B, M, S), as the other arguments.
        targets: float (B, M), entropies in [0, 1] of the masked patches, and of those alone.
        training: update mean and deviation.
        population: float (B', M), the entropies to take them from; `targets` by default.

    Returns:
        The mean squared error, a float32 scalar; 1 is what predicting the mean costs.
    """

    def __init__(self, momentum=0.99, statistics=1, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.momentum = momentum
        self.statistics = statistics

    def build(self, *shapes):
        shape = () if self.statistics == 1 else (self.statistics,)

        def statistic(name, initial, shape=shape):
            return self.add_weight(shape=shape, initializer=initial, trainable=False, name=name, aggregation="mean")

        self.mean = statistic("mean", "zeros")
        self.variance = statistic("variance", "ones")
        self.updates = statistic("updates", "zeros", shape=())
        self.built = True

    def call(self, predictions, targets, training=False, population=None):
        if training:
            self._update(targets if population is None else population)
        standardized = (targets - self.mean) / self._deviation()
        return ops.mean(ops.square(predictions - standardized))

    def restore(self, predictions):
        """Standardised predictions as entropies in [0, 1]."""
        return ops.clip(ops.cast(predictions, "float32") * self._deviation() + self.mean, 0.0, 1.0)

    def _deviation(self):
        return ops.sqrt(ops.maximum(self.variance, 1e-6))

    def _update(self, targets):
        # A plain average at first, so that the initial 0 and 1 never count.
        updates = self.updates + 1.0
        step = ops.maximum(1.0 / updates, 1.0 - self.momentum)
        mean, variance = ops.moments(targets, axes=tuple(range(len(targets.shape) - (self.statistics > 1))))
        if targets.shape[0] is None:
            # TensorFlow need not know that there are any.
            there = ops.shape(targets)[0] > 0
            mean, variance = ops.where(there, mean, self.mean), ops.where(there, variance, self.variance)
        self.mean.assign(self.mean + step * (mean - self.mean))
        self.variance.assign(self.variance + step * (variance - self.variance))
        self.updates.assign(updates)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "statistics": self.statistics}
