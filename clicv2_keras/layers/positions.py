import numpy as np


def sincos_positions(grid, width, trained_grid=None):
    """Fixed sine-cosine codes of the places of a grid of patches, as in MoCo v3.

    Args:
        grid: rows and columns of patches.
        width: features of a code, a multiple of 4: a quarter each for sine and cosine of row and of column.
        trained_grid: the grid that the codes' unit belongs to. Another grid spans the same extent: its patch
            centres are mapped onto the trained grid, so that a larger image reads as a finer one.

    Returns:
        float32 (rows * columns, width), NumPy.

    Raises:
        ValueError: where 4 does not divide the width.
    """
    if width % 4:
        raise ValueError(f"The width must be a multiple of 4 for sine-cosine positions, got {width}.")
    trained_grid = trained_grid or grid
    frequency = 10000.0 ** (-np.arange(width // 4) / (width // 4))
    codes = []
    for axis in range(2):
        scale = trained_grid[axis] / grid[axis]
        place = (np.indices(grid)[axis].reshape(-1) + 0.5) * scale - 0.5
        angle = place[:, None] * frequency
        codes += [np.sin(angle), np.cos(angle)]
    return np.concatenate(codes, axis=1).astype("float32")
