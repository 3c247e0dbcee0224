"""Knowledge beside the labels: changes that must not move a score, and anchors, whose complexity nobody disputes."""

import numpy as np
from PIL import Image, ImageOps

from clicv2_keras.utils.seeds import seed_for

TILES = 8
COUNT = 24


def equivalent_versions(image):
    """Versions of a `PIL.Image` that are as complex to a person: mirrored, less 5 % of a side, smaller by a quarter."""
    width, height = image.size
    x, y = width * 0.05, height * 0.05
    return (
        ImageOps.mirror(image),
        image.crop((round(x / 2), round(y / 2), round(width - x / 2), round(height - y / 2))),
        image.crop((0, round(y), round(width - x), height)),
        image.resize([max(round(0.75 * side), 1) for side in image.size], Image.Resampling.BICUBIC),
    )


def anchors(images, seed=0):
    """Blank pictures, of a score of 0, and collages of `images`, of a score of 1.

    Args:
        images: uint8 (n, S, S, 3).

    Returns:
        uint8 (48, S, S, 3), half of them of each kind, and their scores, float (48,).
    """
    # The name of the stream is older than that of the function.
    rng = np.random.default_rng(seed_for(seed, "undisputed"))
    side = images.shape[1]
    colors = rng.integers(0, 256, (COUNT, 1, 1, 3), "uint8")
    blanks = np.broadcast_to(colors, (COUNT, side, side, 3))
    collages = [_collage(images[rng.integers(0, len(images), TILES**2)]) for _ in range(COUNT)]
    return np.concatenate([blanks, collages]), np.repeat([0.0, 1.0], COUNT)


def _collage(images):
    side = images.shape[1]
    tile = -(-side // TILES)
    canvas = Image.new("RGB", (side, side))
    for index, pixels in enumerate(images):
        place = index % TILES * tile, index // TILES * tile
        canvas.paste(Image.fromarray(pixels).resize((tile, tile), Image.Resampling.BILINEAR), place)
    return np.asarray(canvas)
