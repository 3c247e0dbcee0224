import keras
from keras import ops

# Up to here plain products win: PyTorch's fused attention on a CPU takes 8 times as long backward in bfloat16, and on
# no device do so few tokens fill much memory with their attention matrices.
SHORT = 64


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
        attend = _products if 1 < length <= SHORT else ops.dot_product_attention
        attended = attend(heads[:, :, 0], heads[:, :, 1], heads[:, :, 2])
        return ops.reshape(attended, (-1, length, width))

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "mlp_ratio": self.mlp_ratio}


def _products(query, key, value):
    """What `ops.dot_product_attention` computes of (B, N, heads, D / heads), the softmax in float32."""
    logits = ops.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key)
    weights = ops.cast(ops.softmax(ops.cast(logits, "float32"), axis=-1), logits.dtype)
    return ops.einsum("bhqk,bkhd->bqhd", weights, value)
