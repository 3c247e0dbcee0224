import keras
from keras import ops

from clicv2_keras.layers.positions import sincos_positions
from clicv2_keras.layers.transformer_block import TransformerBlock
from clicv2_keras.recipe.shapes import decoder_heads


@keras.saving.register_keras_serializable(package="clicv2_keras")
class EntropyDecoder(keras.layers.Layer):
    """From the tokens of the visible patches to one number, or several, for each masked patch.

    The decoder of MAE (arXiv 2111.06377) with one output a token and number: a learnt mask token, marked by its
    position, stands for each masked patch and attends to the visible ones.

    Args:
        grid: rows and columns of patches.
        depth: number of transformer blocks.
        width: width of the decoder's tokens; 32 a head where that divides it.
        outputs: numbers a patch.

    Call arguments:
        visible: float (B, K, D), tokens of the kept patches.
        keep: int (B, K), their indices.
        masked: int (B, M), the indices to predict.

    Returns:
        float32 (B, M); with several outputs (B, M, outputs).
    """

    def __init__(self, grid, depth=2, width=192, outputs=1, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.depth = depth
        self.width = width
        self.outputs = outputs
        policy = {"dtype": self.dtype_policy}
        self.embed = keras.layers.Dense(width, **policy)
        self.blocks = [TransformerBlock(decoder_heads(width), **policy) for _ in range(depth)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, **policy)
        self.head = keras.layers.Dense(outputs, dtype="float32")

    def build(self, visible_shape, keep_shape=None, masked_shape=None):
        self.embed.build(visible_shape)
        shape = (None, None, self.width)
        self.mask_token = self.add_weight(
            shape=(self.width,), initializer=keras.initializers.RandomNormal(stddev=0.02), name="mask_token"
        )
        for layer in (*self.blocks, self.norm, self.head):
            layer.build(shape)
        self.built = True

    def call(self, visible, keep, masked):
        positions = ops.cast(sincos_positions(self.grid, self.width), self.compute_dtype)
        seen = self.embed(visible) + ops.take(positions, keep, axis=0)
        asked = ops.cast(self.mask_token, self.compute_dtype) + ops.take(positions, masked, axis=0)
        tokens = ops.concatenate([asked, seen], axis=1)
        for block in self.blocks:
            tokens = block(tokens)
        found = self.head(self.norm(tokens[:, : masked.shape[1]]))
        return found[..., 0] if self.outputs == 1 else found

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "depth": self.depth,
            "width": self.width,
            "outputs": self.outputs,
        }
