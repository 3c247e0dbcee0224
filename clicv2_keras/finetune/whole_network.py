import keras
import numpy as np
from keras import ops


class WholeNetwork(keras.Model):
    """Trains a `ComplexityScorer` with a `LinearHead` end to end, with an intercept a category beside the head's own.

    Args:
        scorer: the `ComplexityScorer`; it is changed in place.
        offsets: (C,) what each category's intercept differs from the head's bias by.

    Call arguments:
        inputs: dict of uint8 `image` (B, S, S, 3) and int `category` (B,).

    Returns:
        Scores, float32 (B,).
    """

    def __init__(self, scorer, offsets):
        super().__init__(name="whole_network")
        self.scorer = scorer
        self.offsets = self.add_weight(shape=(len(offsets),), name="offsets")
        self.offsets.assign(np.asarray(offsets, "float32"))
        self.built = True

    def call(self, inputs):
        encoder, head = self.scorer.encoder, self.scorer.head
        tokens = ops.cast(encoder(inputs["image"]), "float32")
        offset = ops.take(self.offsets, inputs["category"])[:, None]
        return ops.mean(head.patch_scores(inputs["image"], tokens, encoder, offset), axis=1)

    def fold(self):
        """Move the mean of the offsets into the head's bias: what ships knows no category."""
        self.scorer.head.bias.assign(self.scorer.head.bias + ops.mean(self.offsets))
        self.offsets.assign(self.offsets - ops.mean(self.offsets))
