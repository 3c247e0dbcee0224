import keras
from keras import ops

from clicv2_keras.layers.random_views import two_crops


class Student(keras.Model):
    """Trains a `ComplexityScorer` with a `LinearHead` to tell what `pixel_measures` counts, whatever the crop.

    Args:
        scorer: the `ComplexityScorer`; it is changed in place.
        count: how many measures a linear layer reads off the mean of what the scorer's head reads; it is not kept.
        seed: int, for the crops.

    Call arguments:
        images: uint8 (B, H, W, 3), of which `two_crops` are read.

    Returns:
        dict of float32: `score` (B, 2) and `measures` (B, 2, count) of both crops, and by what these differ from one
        to the other, `score_change` (B,) and `measures_change` (B, count).
    """

    def __init__(self, scorer, count, seed=0):
        super().__init__(name="student")
        self.scorer = scorer
        self.views = two_crops(scorer.encoder.image_size, seed)
        self.measures = keras.layers.Dense(count, dtype="float32")
        self.measures.build((None, scorer.head.read_out.count(scorer.encoder.output_dim)))
        self.built = True

    def call(self, images):
        views = self.views(images)
        crops = ops.concatenate([views["view_a"], views["view_b"]], axis=0)
        encoder, head = self.scorer.encoder, self.scorer.head
        tokens = ops.cast(encoder(crops), "float32")
        scores = ops.split(ops.mean(head.patch_scores(crops, tokens, encoder), axis=1), 2)
        measures = ops.split(self.measures(ops.mean(head.read_out(tokens), axis=1)), 2)
        return {
            "score": ops.stack(scores, axis=1),
            "measures": ops.stack(measures, axis=1),
            "score_change": scores[0] - scores[1],
            "measures_change": measures[0] - measures[1],
        }
