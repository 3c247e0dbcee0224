from typing import TYPE_CHECKING, Self

import keras
from keras import ops

from clicv2_keras.layers.pixels import check_shape
from clicv2_keras.models.composite import Composite
from clicv2_keras.models.diversity_head import DiversityHead
from clicv2_keras.models.kept_weights_jax import KeptWeights
from clicv2_keras.models.presets import load_preset
from clicv2_keras.utils.hub import is_hub_address

if TYPE_CHECKING:
    from clicv2_keras.models.vit_encoder import ViTEncoder


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ComplexityScorer(KeptWeights, Composite, keras.Model):
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
        images: uint8 (B, S, S, 3) of the encoder's size, in [0, 255]; or floats, where the encoder's `value_range` says
            what they mean. The score then has a gradient with respect to them: it can be a loss.

    Returns:
        dict of float32: `score` (B,) in [0, 1], the mean of `map` (B, rows, columns) in [0, 1]; `embedding` (B, D).

    Raises:
        ValueError: where the images have another size or type.
    """

    PARTS = ("encoder", "head")

    def __init__(self, encoder: "ViTEncoder", head: keras.layers.Layer, **kwargs) -> None:
        # Scores are float32, whatever the encoder computes in: in bfloat16 Keras would round the head's weights.
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.encoder = encoder
        self.head = head
        if not head.built:
            head.build_for(encoder)
        self.built = True

    @classmethod
    def label_free(cls, encoder: "ViTEncoder") -> Self:
        """The scorer that no human label has touched: the diversity of the encoder's tokens; see `DiversityHead`."""
        return cls(encoder, DiversityHead())

    @classmethod
    def from_preset(cls, name: str = "default", value_range: tuple[float, float] | None = None) -> Self:
        """A trained scorer: the name of one that comes with the package, or `hf://owner/name[@revision]` of the Hub.

        `value_range` lets it take floats, see `ViTEncoder`.
        """
        if is_hub_address(name):
            # It knows this class.
            from clicv2_keras.models.find_model import find_model, scorer_of

            scorer = scorer_of(find_model(name))
        else:
            scorer = load_preset(cls, name)
        return scorer if value_range is None else cls(scorer.encoder.copy(value_range=value_range), scorer.head)

    def build(self, input_shape=None):
        self.built = True

    def call(self, images):
        check_shape(images, self.encoder.image_size)
        tokens = ops.cast(self.encoder(images), "float32")
        patch_scores = self.head.patch_scores(images, tokens, self.encoder)
        return {
            "score": ops.mean(patch_scores, axis=1),
            "map": ops.reshape(patch_scores, (-1, *self.encoder.grid)),
            "embedding": ops.mean(tokens, axis=1),
        }
