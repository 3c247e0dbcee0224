import keras
from keras import ops

from clicv2_keras.layers.batch_standardization import BatchStandardization


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ProjectionHead(keras.layers.Layer):
    """The MLP of MoCo v3's projector (`depth=3`) and predictor (`depth=2`), applied to each token.

    Hidden layers: dense, batch-standardised with scale and offset, ReLU. Last layer: dense, batch-standardised without.

    Args:
        depth: number of dense layers.
        hidden: width of the hidden layers.
        output: width of the output.
        statistics: see `BatchStandardization`.

    Call arguments:
        tokens: float (B, n, D).

    Returns:
        float (B, n, output).
    """

    def __init__(self, depth, hidden, output, statistics="all", **kwargs):
        super().__init__(**kwargs)
        self.depth = depth
        self.hidden = hidden
        self.output_width = output
        self.statistics = statistics
        policy = {"dtype": self.dtype_policy}
        widths = [hidden] * (depth - 1) + [output]
        self.dense = [keras.layers.Dense(width, use_bias=False, **policy) for width in widths]
        self.norms = [BatchStandardization(affine=i < depth - 1, statistics=statistics, **policy) for i in range(depth)]

    def build(self, input_shape):
        width = input_shape[-1]
        for dense, norm in zip(self.dense, self.norms, strict=True):
            dense.build((None, None, width))
            width = dense.units
            norm.build((None, None, width))
        self.built = True

    def call(self, tokens):
        for dense, norm in zip(self.dense[:-1], self.norms[:-1], strict=True):
            tokens = ops.relu(norm(dense(tokens)))
        return self.norms[-1](self.dense[-1](tokens))

    def get_config(self):
        return {
            **super().get_config(),
            "depth": self.depth,
            "hidden": self.hidden,
            "output": self.output_width,
            "statistics": self.statistics,
        }
