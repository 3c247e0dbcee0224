import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="clicv2_keras")
class DiversityHead(keras.layers.Layer):
    """How far each patch's token is from being told by the other patches of its image: complexity without labels.

    A patch's score is its statistical leverage (arXiv 1411.0306, definition 1), the diagonal of K (K + λ I)⁻¹ of the
    Gram matrix K of the image's centred tokens: near 0 where other patches resemble it, near 1 where none does. The
    mean over the patches is the share of them that is needed to tell all: their effective dimension over their number.
    It has no weights, so that it works on any encoder.

    Args:
        regularization: λ over the width of the tokens: what counts as resembling. Tokens come from a layer norm, so
            that their squared length is about their width.
    """

    def __init__(self, regularization=1 / 64, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if regularization <= 0:
            raise ValueError(f"regularization must be above 0, got {regularization}.")
        self.regularization = regularization

    def build_for(self, encoder):
        """Nothing to make: the head has no weights."""
        self.built = True

    def patch_scores(self, images, tokens, encoder):
        """float32 (B, N) in [0, 1], of tokens (B, N, D); the other arguments are not needed."""
        count, width = tokens.shape[1:]
        strength = self.regularization * width
        centered = tokens - ops.mean(tokens, axis=1, keepdims=True)
        gram = ops.matmul(centered, ops.transpose(centered, (0, 2, 1)))
        # Newton and Schulz's iteration: matrix products alone, since TFLite has no inverse.
        eye = ops.eye(count, dtype="float32")
        trace = ops.sum(ops.square(centered), axis=(1, 2), keepdims=True) + strength
        regular = (gram + strength * eye) / trace
        inverse = ops.broadcast_to(eye, ops.shape(gram))
        # The error squares at each step; it starts at 1 - λ / trace, and the trace is at most N D.
        for _ in range(math.ceil(math.log2(count / self.regularization)) + 4):
            inverse = ops.matmul(inverse, 2.0 * eye - ops.matmul(regular, inverse))
        diagonal = ops.sum(inverse * eye, axis=-1)
        return ops.clip(1.0 - strength * diagonal / trace[..., 0], 0.0, 1.0)

    def get_config(self):
        return {**super().get_config(), "regularization": self.regularization}
