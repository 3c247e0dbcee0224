import keras
import numpy as np
from keras import ops


class WholeNetwork(keras.Model):
    """Trains a `ComplexityScorer` with a `LinearHead` end to end, with an intercept a category beside the head's own.

    Args:
        scorer: the `ComplexityScorer`; it is changed in place.
        offsets: (C,) what each category's intercept differs from the head's bias by.
        common: numbers of the categories whose mean offset is 0 in what ships; None for all.

    Call arguments:
        inputs: dict of uint8 `crops` (B, 2, S, S, 3), see `crop_batches`, and int `category` (B,).

    Returns:
        dict of float32: `score` (B, 2) of both crops, and `change` (B,), by what they differ.
    """

    def __init__(self, scorer, offsets, common=None):
        super().__init__(name="whole_network")
        self.scorer = scorer
        self.common = list(range(len(offsets)) if common is None else common)
        self.offsets = self.add_weight(shape=(len(offsets),), name="offsets")
        self.offsets.assign(np.asarray(offsets, "float32"))
        self.built = True

    def call(self, inputs):
        crops = ops.concatenate([inputs["crops"][:, 0], inputs["crops"][:, 1]], axis=0)
        encoder, head = self.scorer.encoder, self.scorer.head
        tokens = ops.cast(encoder(crops), "float32")
        offset = ops.tile(ops.take(self.offsets, inputs["category"])[:, None], (2, 1))
        first, second = ops.split(ops.mean(head.patch_scores(crops, tokens, encoder, offset), axis=1), 2)
        return {"score": ops.stack([first, second], axis=1), "change": first - second}

    def fold(self):
        """Move the mean offset of the common categories into the head's bias: what ships knows no category."""
        level = ops.mean(ops.take(self.offsets, self.common))
        self.scorer.head.bias.assign(self.scorer.head.bias + level)
        self.offsets.assign(self.offsets - level)
