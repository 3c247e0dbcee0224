import math

import keras
from keras import ops

from clicv2_keras.layers.patch_entropy import entropy, histogram
from clicv2_keras.layers.patchify import patchify
from clicv2_keras.layers.pixels import luma
from clicv2_keras.recipe.shapes import STATISTICS, averaged_side

# Levels a channel of the colours that are counted: 512 cells a patch, where 16 levels would be 4,096.
LEVELS = 8
# Bins of the entropy of averaged pixels: a patch has few of them.
COARSE = 32


@keras.saving.register_keras_serializable(package="clicv2_keras")
class PatchStatistics(keras.layers.Layer):
    """What can be counted in the pixels of each patch by itself, more for more complex ones.

    Of the integer luma, see `layers.pixels.luma`:

    - `entropy`: see `PatchEntropy`, with `bins`; `entropy_16`, `entropy_32`, `entropy_256`: with so many bins;
      `entropy_half`, `entropy_quarter`: with 32 bins, after averaging squares of 2 x 2 or 4 x 4 pixels.
    - `deviation`: the standard deviation σ, as log(1 + σ) / log(1 + 127.5).
    - `gradient`: the mean size g of the difference between neighbours across and down, as log(1 + g) / log(256);
      `gradient_half`: after averaging squares of 2 x 2 pixels.

    And `colors`: the logarithm of how many of 8 x 8 x 8 colours there are, as a share of that of 512 or of the pixels.

    Args:
        patch_size: side P of a patch in pixels; a multiple of 2 or 4 for what averages.
        names: those to count, of the above, in this order.
        bins: of `entropy`, 2 to 256.

    Call arguments:
        images: uint8 (B, H, W, 3).

    Returns:
        float32 (B, N, len(names)) in [0, 1], patches row by row, without gradient.

    Raises:
        ValueError: where a name is none of these, `bins` not 2 to 256, the patch cannot be averaged so, or the images
            are not uint8.
    """

    def __init__(self, patch_size, names=("entropy",), bins=256, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.names = tuple(names)
        self.bins = bins
        if not self.names or set(self.names) - set(STATISTICS):
            raise ValueError(f"names must be some of {', '.join(STATISTICS)}, got {names!r}.")
        if not 2 <= bins <= 256:
            raise ValueError(f"bins must be 2 to 256, got {bins}.")
        for name in self.names:
            if patch_size % averaged_side(name):
                raise ValueError(
                    f"{name} needs patches of a multiple of {averaged_side(name)} pixels, got {patch_size}."
                )
        self.built = True  # it has no weights

    def call(self, images):
        patches = patchify(images, self.patch_size)
        levels = luma(patches)
        found = [_colors(patches) if name == "colors" else self._of_luma(name, levels) for name in self.names]
        return ops.stop_gradient(ops.stack(found, axis=-1))

    def _of_luma(self, name, levels):
        """One statistic (B, N) of luma (B, N, P²)."""
        kind, _, detail = name.partition("_")
        side = averaged_side(name)
        if kind == "entropy":
            if side > 1:
                averaged = _average(levels, self.patch_size, side)
                return entropy(ops.reshape(averaged, (-1, levels.shape[1], (self.patch_size // side) ** 2)), COARSE)
            return entropy(levels, int(detail) if detail else self.bins)
        if kind == "deviation":
            return ops.log(1 + ops.std(ops.cast(levels, "float32"), axis=-1)) / math.log(128.5)
        square = ops.cast(_average(levels, self.patch_size, side), "float32")
        across = ops.mean(ops.abs(square[..., :, 1:] - square[..., :, :-1]), axis=(-2, -1))
        down = ops.mean(ops.abs(square[..., 1:, :] - square[..., :-1, :]), axis=(-2, -1))
        return ops.log(1 + (across + down) / 2) / math.log(256)

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size, "names": self.names, "bins": self.bins}


def _average(levels, patch_size, side):
    """Squares of `side` pixels of luma (B, N, P²), averaged and rounded down: int (B, N, P / side, P / side)."""
    count = patch_size // side
    squares = ops.reshape(levels, (-1, levels.shape[1], count, side, count, side))
    return ops.sum(squares, axis=(3, 5)) // side**2


def _colors(patches):
    coarse = ops.cast(patches, "int32") * LEVELS // 256
    codes = (coarse[..., 0] * LEVELS + coarse[..., 1]) * LEVELS + coarse[..., 2]
    counts = ops.sum(ops.cast(histogram(codes, LEVELS**3) > 0, "float32"), axis=-1)
    return ops.log(counts) / math.log(min(LEVELS**3, patches.shape[2]))
