import keras
from keras import ops

from clicv2_keras.models.composed import Composed
from clicv2_keras.models.presets import load_preset


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ComplexityScorer(Composed, keras.Model):
    """From an image to its complexity: a number, a map whose mean is that number, and an embedding.

    ```python
    scorer = ComplexityScorer.from_preset("default")
    scorer.predict(images)["score"]                   # uint8 (n, S, S, 3) -> float32 (n,)
    ```

    Args:
        encoder: a `ViTEncoder`.
        head: what gives each patch its number: a layer with `build_for(encoder)` and
            `predict_entropy(images, encoder)`, such as the `MaskedEntropyBranch` of a trained `CLICv2`.

    Call arguments:
        images: uint8 (B, S, S, 3) of the encoder's size, in [0, 255].

    Returns:
        dict of float32: `score` (B,) in [0, 1], the mean of `map` (B, rows, columns) in [0, 1]; `embedding` (B, D).
    """

    PARTS = ("encoder", "head")

    def __init__(self, encoder, head, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.head = head
        if not head.built:
            head.build_for(encoder)
        self.built = True

    @classmethod
    def from_pretrainer(cls, model):
        """The label-free scorer of a trained `CLICv2`: the entropy that it expects of each hidden patch.

        Raises:
            ValueError: where the model was trained without a `MaskedEntropyBranch` that predicts patches.
        """
        if model.entropy is None or model.entropy.target == "image":
            raise ValueError("A label-free scorer needs a model trained with masked patch entropy.")
        return cls(model.encoder, model.entropy)

    @classmethod
    def from_preset(cls, name="default"):
        """A trained scorer that comes with the package."""
        return load_preset(cls, name)

    def build(self, input_shape=None):
        self.built = True

    def call(self, images):
        patch_scores = self.head.predict_entropy(images, self.encoder)
        embedding = ops.mean(ops.cast(self.encoder(images), "float32"), axis=1)
        return {
            "score": ops.mean(patch_scores, axis=1),
            "map": ops.reshape(patch_scores, (-1, *self.encoder.grid)),
            "embedding": embedding,
        }
