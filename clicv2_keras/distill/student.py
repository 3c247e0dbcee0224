import keras
from keras import ops


class Student(keras.Model):
    """Trains a `ComplexityScorer` with a `LinearHead` to tell what `pixel_measures` counts.

    Args:
        scorer: the `ComplexityScorer`; it is changed in place.
        count: how many measures a linear layer reads off the mean of what the scorer's head reads; it is not kept.

    Call arguments:
        images: uint8 (B, S, S, 3). In training, half of them are mirrored.

    Returns:
        dict of float32: `score` (B,) and `measures` (B, count).
    """

    def __init__(self, scorer, count, seed=0):
        super().__init__(name="student")
        self.scorer = scorer
        self.mirror = keras.layers.RandomFlip("horizontal", seed=seed)
        self.measures = keras.layers.Dense(count, dtype="float32")
        self.measures.build((None, scorer.head.read_out.count(scorer.encoder.width)))
        self.built = True

    def call(self, images, training=False):
        images = self.mirror(images, training=training)
        encoder, head = self.scorer.encoder, self.scorer.head
        tokens = ops.cast(encoder(images), "float32")
        return {
            "score": ops.mean(head.patch_scores(images, tokens, encoder), axis=1),
            "measures": self.measures(ops.mean(head.read_out(tokens), axis=1)),
        }
