import keras
import numpy as np
from keras import ops

from clicv2_keras.layers.patchify import grid_shape, patchify
from clicv2_keras.layers.replicas import draw_local
from clicv2_keras.layers.seeded_layer import SeededLayer

MODES = ("patch", "grid", "roll", "none")
DIRECTIONS = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)], "int32")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ShiftedPatchify(SeededLayer):
    """Cut an image into patches, each read at its own small random offset.

    The positive pairs of CLICv2 (arXiv 2503.06641): patch i of one view and patch i of the other show nearly the same
    content, and keep their place in the image. Like `keras.layers.Dropout` it acts in training only; otherwise the
    patches are cut where they are.

    Args:
        patch_size: side P of a patch in pixels.
        mode: `"patch"`: every patch draws one of 8 directions and a magnitude of 1 to `max_shift` pixels, and reads
            the P x P window there, the image continued by reflection. `"grid"`: one draw an image. `"roll"`: the
            patch is rolled inside itself, which keeps its histogram exactly and adds a seam. `"none"`: no shift.
        max_shift: largest magnitude in pixels; half a patch by default.
        seed: int, for the draws.

    Call arguments:
        images: (B, H, W, C), any dtype.
        training: shift (True) or not.
        offsets: optional int (B, N, 2), vertical and horizontal offsets to use in place of drawn ones.

    Returns:
        (B, N, P², C), of the dtype of `images`, patches row by row.

    Raises:
        ValueError: where the mode is none of these, `max_shift` is not 1 to P, or P does not divide the images.
    """

    def __init__(self, patch_size, mode="patch", max_shift=None, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
        self.patch_size = patch_size
        self.mode = mode
        self.max_shift = patch_size // 2 if max_shift is None else max_shift
        if mode != "none" and not 1 <= self.max_shift <= patch_size:
            raise ValueError(f"max_shift must be 1 to patch_size={patch_size} pixels, got {self.max_shift}.")
        self.built = True  # it has no weights

    def call(self, images, training=False, offsets=None):
        if self.mode == "none" or not training and offsets is None:
            return patchify(images, self.patch_size)
        grid = grid_shape(images, self.patch_size)
        if offsets is None:
            offsets = self.draw_for(images)
        batch, height, width, channels = ops.shape(images)
        rows = self._read_at(height, axis=0, grid=grid, offset=offsets[..., 0])
        columns = self._read_at(width, axis=1, grid=grid, offset=offsets[..., 1])
        pixels = rows[:, :, :, None] * width + columns[:, :, None, :]
        windows = ops.take_along_axis(
            ops.reshape(images, (batch, height * width, channels)),
            ops.reshape(pixels, (batch, height * width, 1)),
            axis=1,
        )
        return ops.reshape(windows, (batch, grid[0] * grid[1], self.patch_size**2, channels))

    def draw_for(self, images):
        """Random offsets for images: of a copy of an image those of the image, that they differ in nothing else."""
        grid = grid_shape(images, self.patch_size)
        return draw_local(lambda rows: self.draw(rows, grid), ops.shape(images)[0])

    def draw(self, batch, grid):
        """Random offsets (B, N, 2) in pixels."""
        shape = (batch, 1 if self.mode == "grid" else grid[0] * grid[1])
        direction = keras.random.randint(shape, 0, len(DIRECTIONS), seed=self.seed_generator)
        magnitude = keras.random.randint(shape, 1, self.max_shift + 1, seed=self.seed_generator)
        offsets = ops.take(ops.convert_to_tensor(DIRECTIONS), direction, axis=0) * magnitude[..., None]
        return ops.broadcast_to(offsets, (batch, grid[0] * grid[1], 2))

    def _read_at(self, length, axis, grid, offset):
        """Pixel rows (axis 0) or columns (axis 1) that each patch reads: (B, N, P)."""
        start = np.indices(grid)[axis].reshape(1, -1, 1) * self.patch_size
        start = ops.convert_to_tensor(start, dtype="int32")
        inside = ops.arange(self.patch_size, dtype="int32")
        offset = ops.cast(offset, "int32")[..., None]
        if self.mode == "roll":
            return start + ops.mod(inside - offset, self.patch_size)
        position = ops.abs(start + inside + offset)
        # Twice, since on a grid of one patch a whole patch's shift leads past both ends.
        return ops.abs((length - 1) - ops.abs((length - 1) - position))

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "mode": self.mode,
            "max_shift": self.max_shift,
        }
