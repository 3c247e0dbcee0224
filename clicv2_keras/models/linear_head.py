from collections.abc import Sequence

import keras
from keras import ops

from clicv2_keras.layers import PatchReadOut
from clicv2_keras.models.fitted_to import FittedTo


@keras.saving.register_keras_serializable(package="clicv2_keras")
class LinearHead(FittedTo, keras.layers.Layer):
    """A bounded number for each patch, σ(w·f_i + b), whose mean over the patches is the score that people's labels fit.

    Averaging after the bound, not before, is what makes the map's mean the score, exactly. `clicv2_keras.finetune` fits
    the weights.

    Args:
        parts: the features f_i of a patch; see `PatchReadOut`.
        label_range: lowest and highest label that it was fitted to; a score s stands for low + s (high - low). None
            where it was fitted to no label of people: its score is label-free.
    """

    def __init__(
        self,
        parts: Sequence[str] = ("token", "deviation", "diversity"),
        label_range: tuple[float, float] | None = (0.0, 1.0),
        **kwargs,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.read_out = PatchReadOut(parts)
        self.label_range = None if label_range is None else tuple(float(x) for x in label_range)

    def build_for(self, encoder):
        """Make the weights that fit `encoder`; at first every patch scores 0.5."""
        self.kernel = self.add_weight(
            shape=(self.read_out.count(encoder.output_dim),), initializer="zeros", name="kernel"
        )
        self.bias = self.add_weight(shape=(), initializer="zeros", name="bias")
        self.built = True

    def patch_scores(self, images, tokens, encoder, intercept=0.0):
        """float32 (B, N) in [0, 1], of tokens (B, N, D); `intercept`, a number or (B, 1), is added to the bias."""
        features = self.read_out(tokens)
        return ops.sigmoid(ops.matmul(features, self.kernel[:, None])[..., 0] + self.bias + intercept)

    def get_config(self):
        return {**super().get_config(), "parts": self.read_out.parts, "label_range": self.label_range}
