"""What the layout of two views gives away: the sign of a contrast that is solved without learning anything."""

import numpy as np
from keras import ops

from clicv2_keras.layers.patchify import unpatchify
from clicv2_keras.layers.pixels import luma
from clicv2_keras.layers.replicas import all_gather

SIDE = 8


def layout_thumbnails(patches, grid, keep=None):
    """Grey thumbnails of 8 x 8 values, each of mean 0 and length 1; of a blank image 0.

    Args:
        patches: uint8 (B, N, P², 3).
        grid: rows and columns of patches, of one number.
        keep: optional int (K,), the patches that are seen; a cell is the mean of what is seen of it, and what is not
            seen at all is as the mean of the cells.

    Returns:
        float32 (B, 64).
    """
    size = round(patches.shape[2] ** 0.5)
    grey = ops.cast(luma(patches), "float32")[..., None]
    cells = ops.convert_to_tensor(_cells(grid[0] * size))

    def shrink(values):
        return ops.einsum("yh,bhw,xw->byx", cells, unpatchify(values, size, grid)[..., 0], cells)

    if keep is None:
        seen, thumbnails = 1.0, shrink(grey)
    else:
        visible = ops.max(ops.one_hot(keep, patches.shape[1], dtype="float32"), axis=0)
        visible = ops.broadcast_to(visible[None, :, None, None], (1, *grey.shape[1:]))
        share = shrink(visible)
        seen = ops.cast(share > 1e-6, "float32")
        thumbnails = shrink(grey * visible) / ops.maximum(share, 1e-6)
    mean = ops.sum(thumbnails * seen, axis=(1, 2), keepdims=True) / ops.sum(
        seen * ops.ones_like(thumbnails), axis=(1, 2), keepdims=True
    )
    thumbnails = ops.reshape((thumbnails - mean) * seen, (-1, SIDE * SIDE))
    # Of a blank image there is nothing but how a device rounds: that must not be blown up to a layout.
    length = ops.sqrt(ops.sum(ops.square(thumbnails), axis=-1, keepdims=True))
    return thumbnails / ops.maximum(length, 1.0)


def layout_retrieval(thumbnails_a, thumbnails_b):
    """The share of the thumbnails (B, 64) of one view to which none is more alike than that of their own image's other
    view, among those of the batch and of all replicas; one without a layout, about 0, has none."""
    others, _ = all_gather(thumbnails_b)
    own = ops.sum(thumbnails_a * thumbnails_b, axis=1)
    nearest = ops.max(ops.matmul(thumbnails_a, ops.transpose(others)), axis=1)
    # As alike but for rounding counts, or the figure would hang on how a device adds up.
    return ops.mean(ops.cast(ops.logical_and(own > 1e-3, own > nearest - 1e-4), "float32"))


def _cells(side):
    """By what share each of `side` pixels belongs to each of 8 cells: float32 (8, side), rows of sum 1."""
    edges = np.linspace(0, side, SIDE + 1)
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(overlap, 0) * SIDE / side).astype("float32")
