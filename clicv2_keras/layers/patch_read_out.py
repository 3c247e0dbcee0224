import keras
from keras import ops

from clicv2_keras.layers.leverage import leverage
from clicv2_keras.recipe.shapes import PARTS, REGULARIZATIONS


@keras.saving.register_keras_serializable(package="clicv2_keras")
class PatchReadOut(keras.layers.Layer):
    """What a linear head reads of each patch: features whose mean over the patches describes the image.

    Args:
        parts: of `"token"`: the token t_i itself; `"deviation"`: |t_i - t̄|, whose mean is the spread of the image's
            tokens; `"diversity"`: the token's `leverage`, at a fine and at a coarse strength.

    Call arguments:
        tokens: float (B, N, D).

    Returns:
        float32 (B, N, F), F = D, D and 2 for the parts, in their order.

    Raises:
        ValueError: where a part is none of these, or there is none.
    """

    def __init__(self, parts=PARTS, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.parts = tuple(parts)
        if not self.parts or set(self.parts) - set(PARTS):
            raise ValueError(f"parts must be some of {', '.join(PARTS)}, got {parts!r}.")
        self.built = True  # it has no weights

    def call(self, tokens):
        return ops.concatenate([self.read(part, tokens) for part in self.parts], axis=-1)

    @staticmethod
    def read(part, tokens):
        """One part, float32 (B, N, F)."""
        tokens = ops.cast(tokens, "float32")
        if part == "token":
            return tokens
        if part == "deviation":
            return ops.abs(tokens - ops.mean(tokens, axis=1, keepdims=True))
        return ops.stack([leverage(tokens, strength) for strength in REGULARIZATIONS], axis=-1)

    def count(self, width):
        """F, for tokens of `width` features."""
        return sum(len(REGULARIZATIONS) if part == "diversity" else width for part in self.parts)

    def get_config(self):
        return {**super().get_config(), "parts": self.parts}
