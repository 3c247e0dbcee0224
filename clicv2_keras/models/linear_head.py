import keras
from keras import ops

READ_OUTS = ("mean", "mean_deviation")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class LinearHead(keras.layers.Layer):
    """A bounded number for each patch, σ(w·f_i + b), whose mean over the patches is the score that people's labels fit.

    Averaging after the bound, not before, is what makes the map's mean the score, exactly. `clicv2_keras.finetune` fits
    the weights.

    Args:
        read_out: the features f_i of a patch with token t_i. `"mean"`: t_i; `"mean_deviation"`: t_i and (t_i - t̄)²,
            whose mean is the variance of the image's tokens.
        label_range: lowest and highest label that it was fitted to; a score s stands for low + s (high - low).
    """

    def __init__(self, read_out="mean_deviation", label_range=(0.0, 1.0), **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if read_out not in READ_OUTS:
            raise ValueError(f"read_out must be one of {', '.join(READ_OUTS)}, got {read_out!r}.")
        self.read_out = read_out
        self.label_range = tuple(float(x) for x in label_range)

    def build_for(self, encoder):
        """Make the weights that fit `encoder`; at first every patch scores 0.5."""
        features = encoder.width * (1 if self.read_out == "mean" else 2)
        self.kernel = self.add_weight(shape=(features, 1), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(), initializer="zeros", name="bias")
        self.built = True

    def features(self, tokens):
        """float32 (B, N, F) of tokens (B, N, D): F is D, or 2 D with deviations."""
        tokens = ops.cast(tokens, "float32")
        if self.read_out == "mean":
            return tokens
        return ops.concatenate([tokens, ops.square(tokens - ops.mean(tokens, axis=1, keepdims=True))], axis=-1)

    def patch_scores(self, images, tokens, encoder, intercept=0.0):
        """float32 (B, N) in [0, 1], of tokens (B, N, D); `intercept`, a number or (B, 1), is added to the bias."""
        logits = ops.matmul(self.features(tokens), self.kernel)[..., 0] + self.bias
        return ops.sigmoid(logits + intercept)

    def get_config(self):
        return {**super().get_config(), "read_out": self.read_out, "label_range": self.label_range}
