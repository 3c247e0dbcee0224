import math

import keras
from keras import ops

from clicv2_keras.layers.patchify import patchify
from clicv2_keras.layers.pixels import luma


@keras.saving.register_keras_serializable(package="clicv2_keras")
class PatchEntropy(keras.layers.Layer):
    """Shannon entropy of the luma of each patch, as a share of the most that `bins` can hold.

    Luma is the integer (77 R + 150 G + 29 B) >> 8, so that every backend bins alike. A patch of P² pixels cannot fill
    more than P² bins: uniform noise on 16 x 16 pixels reaches about 7.2 of the 8 bits of 256 bins.

    Args:
        patch_size: side P of a patch in pixels.
        bins: number of equally wide bins of the luma, 2 to 256.

    Call arguments:
        images: uint8 (B, H, W, 3) in [0, 255].

    Returns:
        float32 (B, N) in [0, 1], patches row by row, without gradient.

    Raises:
        ValueError: where the images are not uint8: only whole grey levels can be counted.
    """

    def __init__(self, patch_size, bins=256, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if not 2 <= bins <= 256:
            raise ValueError(f"bins must be 2 to 256, got {bins}.")
        self.patch_size = patch_size
        self.bins = bins
        self.built = True  # it has no weights

    def call(self, images):
        return self.of_patches(patchify(images, self.patch_size))

    def of_patches(self, patches):
        """The same of patches (B, N, P², 3) that are cut already, `ShiftedPatchify`'s among them."""
        return ops.stop_gradient(entropy(luma(patches), self.bins))

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size, "bins": self.bins}


def entropy(levels, bins):
    """Shannon entropy of grey levels (B, N, P), int in [0, 255], as a share of the most that `bins` can hold.

    Returns (B, N).
    """
    share = histogram(levels * bins // 256, bins) / levels.shape[-1]
    bits = -ops.sum(share * ops.log2(ops.maximum(share, 1e-6)), axis=-1)
    return bits / math.log2(bins)


def histogram(codes, cells):
    """How often each of `cells` codes, ints from 0 on, is among (B, N, P): float32 (B, N, cells)."""
    batch, count, _ = ops.shape(codes)
    patch = ops.reshape(ops.arange(batch * count, dtype="int32"), (batch, count, 1))
    cell = ops.reshape(patch * cells + codes, (-1,))
    counts = ops.segment_sum(ops.ones_like(cell, dtype="float32"), cell, num_segments=batch * count * cells)
    return ops.reshape(counts, (batch, count, cells))
