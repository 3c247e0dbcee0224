from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import ops

from clicv2_keras.models.complexity_scorer import ComplexityScorer

if TYPE_CHECKING:
    from clicv2_keras.models.linear_head import LinearHead


@keras.saving.register_keras_serializable(package="clicv2_keras")
class LabelBranch(keras.layers.Layer):
    """A branch beside the others: tell the complexity that people gave images, whatever the crop.

    Two crops of each image go through the encoder and a head; the loss is the squared error of both scores, and the
    square of what they differ by. Images whose scores may be compared share an intercept, an offset beside the head's
    own, for scores of different groups need not lie on one scale.

    Args:
        head: a `LinearHead`.
        groups: how many groups of images there are.
        common: numbers of the groups whose mean offset is 0 in what ships; None for all.
        weight: of this loss beside the others.
    """

    def __init__(
        self,
        head: "LinearHead",
        groups: int = 1,
        common: Sequence[int] | None = None,
        weight: float = 1.0,
        **kwargs,
    ) -> None:
        # Labels and what is fitted to them, whatever precision the encoder computes in.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.head = keras.saving.deserialize_keras_object(head) if isinstance(head, dict) else head
        self.groups = groups
        self.common = list(range(groups)) if common is None else list(common)
        self.weight = weight

    def build_for(self, encoder):
        """Make the parts that fit `encoder`."""
        if not self.head.built:
            self.head.build_for(encoder)
        self.offsets = self.add_weight(shape=(self.groups,), initializer="zeros", dtype="float32", name="offsets")
        self.built = True

    def call(self, crops, score, group, encoder=None):
        """Score uint8 crops (B, 2, S, S, 3) of images with labels `score` (B,) in groups `group`, int (B,).

        Returns:
            dict of scalars: `label_loss`, not yet weighted, and `label_error`, the mean square of what both crops'
            scores miss the labels by; and `embedding` (2 B, D), the mean tokens.
        """
        crops = ops.concatenate([crops[:, 0], crops[:, 1]], axis=0)
        tokens = ops.cast(encoder(crops), "float32")
        offset = ops.tile(ops.take(self.offsets, group)[:, None], (2, 1))
        first, second = ops.split(ops.mean(self.head.patch_scores(crops, tokens, encoder, offset), axis=1), 2)
        error = ops.mean(ops.square(first - score) + ops.square(second - score)) / 2
        return {
            "label_loss": error + ops.mean(ops.square(first - second)),
            "label_error": error,
            "embedding": ops.mean(tokens, axis=1),
        }

    def fold(self):
        """Move the mean offset of the common groups into the head's bias: what ships knows no group."""
        level = ops.mean(ops.take(self.offsets, self.common))
        self.head.bias.assign(self.head.bias + level)
        self.offsets.assign(self.offsets - level)

    def scorer(self, encoder):
        """The `ComplexityScorer` of the encoder and the head; it shares their weights."""
        return ComplexityScorer(encoder, self.head)

    def get_config(self):
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "groups": self.groups,
            "common": self.common,
            "weight": self.weight,
        }
