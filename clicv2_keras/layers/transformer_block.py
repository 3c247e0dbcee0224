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
        rows: optional int (n,): give these tokens alone, which still attend to all.

    Returns:
        float (B, N or n, D).

    Raises:
        ValueError: when built, where `num_heads` does not divide the width.
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

    def call(self, tokens, rows=None):
        normed = self.attention_norm(tokens)
        if rows is None:
            query, key, value = ops.split(self.qkv(normed), 3, axis=-1)
        else:
            tokens, query = (ops.take(values, rows, axis=1) for values in (tokens, normed))
            query, (key, value) = self._part(query, 0, 1)[0], self._part(normed, 1, 3)
        tokens = tokens + self.projection(self._attend(query, key, value))
        # The tanh form of GELU: cheaper, and exported by every converter.
        hidden = ops.gelu(self.mlp_in(self.mlp_norm(tokens)), approximate=True)
        return tokens + self.mlp_out(hidden)

    def _part(self, tokens, first, last):
        """Of query, key and value, those from `first` to before `last`."""
        width = tokens.shape[-1]
        columns = slice(first * width, last * width)
        found = ops.matmul(tokens, self.qkv.kernel[:, columns]) + self.qkv.bias[columns]
        return ops.split(found, last - first, axis=-1)

    def _attend(self, query, key, value):
        length, width = query.shape[1:]
        heads = [ops.reshape(x, (-1, x.shape[1], self.num_heads, width // self.num_heads)) for x in (query, key, value)]
        attend = _products if 1 < key.shape[1] <= SHORT else ops.dot_product_attention
        return ops.reshape(attend(*heads), (-1, length, width))

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "mlp_ratio": self.mlp_ratio}


def _products(query, key, value):
    """What `ops.dot_product_attention` computes of (B, N, heads, D / heads), the softmax in float32."""
    logits = ops.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key)
    weights = ops.cast(ops.softmax(ops.cast(logits, "float32"), axis=-1), logits.dtype)
    return ops.einsum("bhqk,bkhd->bqhd", weights, value)
