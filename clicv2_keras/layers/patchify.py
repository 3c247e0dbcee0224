"""Images as rows of patches: the one place that fixes their order."""

from keras import ops


def grid_shape(images, patch_size):
    """Rows and columns of patches of `images` (B, H, W, C), whose H and W must be known.

    Raises:
        ValueError: if H or W is unknown or `patch_size` does not divide it.
    """
    height, width = images.shape[1:3]
    if height is None or width is None:
        raise ValueError(
            f"The image's height and width must be known, got shape {tuple(images.shape)}: resize it first."
        )
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"patch_size={patch_size} does not divide the image of {height} x {width} pixels: "
            "resize it to a multiple of that."
        )
    return height // patch_size, width // patch_size


def patchify(images, patch_size):
    """Cut (B, H, W, C) into non-overlapping patches, row by row: (B, N, patch_size², C), same dtype."""
    rows, columns = grid_shape(images, patch_size)
    channels = images.shape[-1]
    x = ops.reshape(images, (-1, rows, patch_size, columns, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * columns, patch_size * patch_size, channels))


def unpatchify(patches, patch_size, grid):
    """Patches (B, N, patch_size², C), row by row, laid side by side again: (B, H, W, C), same dtype."""
    rows, columns = grid
    channels = patches.shape[-1]
    x = ops.reshape(patches, (-1, rows, columns, patch_size, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * patch_size, columns * patch_size, channels))
