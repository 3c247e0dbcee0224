import keras
from keras import ops

from clicv2_keras.layers import PatchReadOut
from clicv2_keras.layers.patch_read_out import PARTS


class Meter(keras.Model):
    """An encoder's read-outs and the scores of heads on it, compiled as one.

    Args:
        encoder: a `ViTEncoder`; where its weights change, so do the read-outs.
        heads: layers with `build_for` and `patch_scores`, by name; see `ComplexityScorer`.

    Returns:
        dict of float32, means over the patches: (B, F) by part of `PatchReadOut`, (B,) by head.
    """

    def __init__(self, encoder, heads=None):
        super().__init__(name="meter")
        self.encoder = encoder
        self.heads = heads or {}
        for head in self.heads.values():
            if not head.built:
                head.build_for(encoder)
        self.built = True

    def call(self, images):
        tokens = ops.cast(self.encoder(images), "float32")
        out = {part: ops.mean(PatchReadOut.read(part, tokens), axis=1) for part in PARTS}
        for name, head in self.heads.items():
            out[name] = ops.mean(head.patch_scores(images, tokens, self.encoder), axis=1)
        return out
