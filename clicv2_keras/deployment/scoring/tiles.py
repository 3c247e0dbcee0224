"""Tiles of large pictures: where they lie, what they are called, and their pixels."""

import re
from typing import NamedTuple

from clicv2_keras.deployment.scoring.scorer import Picture, read_picture
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, decode_image, network_input

# A row each: a picture of 100 megapixels in tiles of 64 with a stride of 32.
MAX_TILES = 100_000
_FRAGMENT = re.compile(r"(.*)#xywh=(\d+),(\d+),(\d+),(\d+)", re.DOTALL)


class Tiling(NamedTuple):
    """Squares of `size` pixels, `stride` apart, that cover a picture; the last of a row and a column end at its edge.

    Of a side that is shorter than `size` a tile has the whole.
    """

    size: int
    stride: int

    def boxes(self, width, height):
        """Yield (left, top, right, bottom) in pixels of a picture, row by row.

        Raises:
            UnreadableImage: where there are more than 100,000.
        """
        if self.count(width, height) > MAX_TILES:
            raise UnreadableImage(f"{self.count(width, height):,} tiles are too many: at most {MAX_TILES:,} a picture")
        for top in self._starts(height):
            for left in self._starts(width):
                yield left, top, min(left + self.size, width), min(top + self.size, height)

    def count(self, width, height):
        """How many they are."""
        return len(self._starts(width)) * len(self._starts(height))

    def _starts(self, side):
        last = max(side - self.size, 0)
        return [*range(0, last, self.stride), last]


def tiling_of(tile, stride):
    """The `Tiling` of two options, pixels or None; None where there is no tile. Without a stride tiles do not overlap.

    Raises:
        UserError: where they do not fit each other.
    """
    if tile is None:
        if stride is not None:
            raise UserError("--stride: is the distance of tiles; give --tile as well")
        return None
    for option, pixels in {"--tile": tile, "--stride": stride}.items():
        if pixels is not None and pixels < 1:
            raise UserError(f"{option} {pixels}: is none; give 1 pixel or more")
    if stride is not None and stride > tile:
        raise UserError(f"--stride {stride}: leaves gaps between tiles of {tile} pixels; give at most {tile}")
    return Tiling(tile, stride or tile)


def tile_name(file, box):
    """`file#xywh=left,top,width,height`, as of the W3C's Media Fragments; `file` itself where `box` is None."""
    if box is None:
        return file
    left, top, right, bottom = box
    return f"{file}#xywh={left},{top},{right - left},{bottom - top}"


def split_tile(name):
    """The way back: the file, and (left, top, right, bottom) or None."""
    found = _FRAGMENT.fullmatch(name)
    if found is None:
        return name, None
    left, top, width, height = map(int, found.groups()[1:])
    return found[1], (left, top, left + width, top + height)


def read_pictures(source, image_size, tiling=None):
    """Yield (box, `Picture`) of each tile of an image, or one (None, `Picture`) of the whole without a `Tiling`.

    Args:
        source: a path, encoded bytes or a binary file.
        image_size: side in pixels of the network's input.

    Raises:
        UnreadableImage: see `decode_image`; before the first.
    """
    if tiling is None:
        yield None, read_picture(source, image_size)
        return
    # At full scale: a tile is what a file of its pixels would be.
    decoded = decode_image(source)
    for box in tiling.boxes(decoded.width, decoded.height):
        tile = decoded.image.crop(box)
        yield box, Picture(tile, network_input(tile, image_size), decoded.width, decoded.height)
