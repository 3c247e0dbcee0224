import keras
from keras import ops


@keras.saving.register_keras_serializable(package="clicv2_keras")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm self-attention and MLP, each with a residual connection: the block of ViT (arXiv 2010.11929).

    Args:
        num_heads: attention heads; must divide the width of the tokens.
        mlp_ratio: width of the MLP's hidden layer as a multiple of the tokens' width.

    Call arguments:
        tokens: float (B, N, D).

    Returns:
        float (B, N, D).
    """

    def __init__(self, num_heads, mlp_ratio=4, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} does not divide the width {width}.")
        hidden = int(width * self.mlp_ratio)

        def sublayer(layer, inputs):
            layer.build((None, None, inputs))
            return layer

        policy = {"dtype": self.dtype_policy}
        self.attention_norm = sublayer(keras.layers.LayerNormalization(epsilon=1e-6, **policy), width)
        self.qkv = sublayer(keras.layers.Dense(3 * width, **policy), width)
        self.projection = sublayer(keras.layers.Dense(width, **policy), width)
        self.mlp_norm = sublayer(keras.layers.LayerNormalization(epsilon=1e-6, **policy), width)
        self.mlp_in = sublayer(keras.layers.Dense(hidden, **policy), width)
        self.mlp_out = sublayer(keras.layers.Dense(width, **policy), hidden)
        self.built = True

    def call(self, tokens):
        tokens = tokens + self.projection(self._attend(self.qkv(self.attention_norm(tokens))))
        # The tanh form of GELU: cheaper, and exported by every converter.
        hidden = ops.gelu(self.mlp_in(self.mlp_norm(tokens)), approximate=True)
        return tokens + self.mlp_out(hidden)

    def _attend(self, qkv):
        length, width = qkv.shape[1], qkv.shape[2] // 3
        heads = ops.reshape(qkv, (-1, length, 3, self.num_heads, width // self.num_heads))
        attended = ops.dot_product_attention(heads[:, :, 0], heads[:, :, 1], heads[:, :, 2])
        return ops.reshape(attended, (-1, length, width))

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "mlp_ratio": self.mlp_ratio}
