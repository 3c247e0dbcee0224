import keras
from keras import ops

from clicv2_keras.models.composed import Composed
from clicv2_keras.models.diversity_head import DiversityHead
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
            `patch_scores(images, tokens, encoder)`. `DiversityHead` needs no labels, `LinearHead` is fitted to them,
            and the `MaskedEntropyBranch` of a trained `CLICv2` gives the entropy that it expects.

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
    def label_free(cls, encoder):
        """The scorer that no human label has touched: the diversity of the encoder's tokens; see `DiversityHead`."""
        return cls(encoder, DiversityHead())

    @classmethod
    def from_preset(cls, name="default"):
        """A trained scorer that comes with the package."""
        return load_preset(cls, name)

    def build(self, input_shape=None):
        self.built = True

    def call(self, images):
        tokens = ops.cast(self.encoder(images), "float32")
        patch_scores = self.head.patch_scores(images, tokens, self.encoder)
        return {
            "score": ops.mean(patch_scores, axis=1),
            "map": ops.reshape(patch_scores, (-1, *self.encoder.grid)),
            "embedding": ops.mean(tokens, axis=1),
        }
