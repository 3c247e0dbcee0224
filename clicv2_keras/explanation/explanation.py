from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from clicv2_keras.utils import overlays
from clicv2_keras.utils.images import open_rgb


@dataclass
class Explanation:
    """What a model says of one image, and where it sees that.

    Every grid covers the whole upright image: cell (i, j) of h rows and w columns is about the pixels from
    i H / h to (i + 1) H / h, j W / w to (j + 1) W / w.

    Attributes:
        file: the image as it was named.
        path: where it is.
        error: one line on why it could not be read, or None. If there is one, what follows is empty.
        score: complexity in [0, 1], the mean of `map`.
        size: width and height of the upright image in pixels.
        map: float32 (rows, columns) in [0, 1], each patch's complexity.
        saliency: by method, float32, 0 or more, on a scale of its own: `"gradcam++"` and `"layercam"` (rows, columns)
            on the tokens; `"smoothgrad"` (S, S) on the pixels of the model's input, in score per grey level.
    """

    file: str
    path: Path
    error: str | None = None
    score: float | None = None
    size: tuple[int, int] | None = None
    map: np.ndarray | None = field(default=None, repr=False)
    saliency: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def grids(self) -> dict[str, np.ndarray]:
        """`map` and the saliency, by name; none where there is an error."""
        return {**({} if self.map is None else {"map": self.map}), **self.saliency}

    @property
    def image(self) -> Image.Image:
        """The upright `PIL.Image`, read anew each time: a thousand photographs do not fit in memory."""
        return open_rgb(self.path)

    def at_pixels(self, name: str = "map") -> np.ndarray:
        """A grid at the pixels of the upright image: float32 (height, width), each pixel its cell's value.

        Where the image has fewer pixels than the grid cells, a pixel is the mean of its cells.
        """
        return enlarge(self.grids[name], self.size)

    def limits(self, name: str = "map") -> tuple[float, float]:
        """The values that the ends of the colour scale stand for, of this image alone.

        The map's own smallest and largest value, at least 0.1 apart; for saliency 0 and the value that one cell in a
        hundred exceeds.
        """
        grid = self.grids[name]
        if name != "map":
            return 0.0, float(np.percentile(grid, 99)) or float(grid.max()) or 1.0
        return overlays.map_limits(grid)

    def overlay(self, name: str = "map", image: Image.Image | None = None) -> Image.Image:
        """A grid in colours, dark blue to yellow, over the image in grey: a `PIL.Image` of the image's size.

        Args:
            name: `"map"` or a method of `saliency`.
            image: in place of the original, the same picture at another size.
        """
        return overlays.overlay(image or self.image, self.grids[name], self.limits(name))


def enlarge(grid, size):
    """`grid` (rows, columns) at `size` (width, height): float32 (height, width)."""
    # Pillow's box filter repeats a cell where it enlarges, and averages cells where it shrinks.
    return np.asarray(Image.fromarray(grid.astype("float32")).resize(size, Image.Resampling.BOX))
