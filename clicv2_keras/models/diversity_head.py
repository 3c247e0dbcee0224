import keras

from clicv2_keras.layers import leverage


@keras.saving.register_keras_serializable(package="clicv2_keras")
class DiversityHead(keras.layers.Layer):
    """Complexity without labels: how far each patch's token is from being told by the others of its image.

    A patch's score is the `leverage` of its token. The mean over the patches is the share of them that is needed to
    tell all: the effective dimension of the tokens over their number. It has no weights and works on any encoder.

    Args:
        regularization: see `leverage`; above 0.

    Raises:
        ValueError: where it is not.
    """

    def __init__(self, regularization: float = 1 / 64, **kwargs) -> None:
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
        return leverage(tokens, self.regularization)

    def get_config(self):
        return {**super().get_config(), "regularization": self.regularization}
