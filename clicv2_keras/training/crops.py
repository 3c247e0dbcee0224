"""What the whole network is fine-tuned on: two crops of each image, read from the file and resized once, as scored."""

import itertools
import math

import numpy as np

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.threads import ordered_map, share_cores
from clicv2_keras.utils.views import LIKE_THE_WHOLE, draw_crop, shortest_side

CROPS = 2


def crop_batches(source, size, batch_size, seed, epoch):
    """Every image once, in an order drawn for the epoch; the last batch may be smaller.

    Order and crops are a function of `seed` and `epoch` alone. Crops are read as they are needed, a few ahead.

    Args:
        source: see `open_source`.
        size: side of the crops in pixels.
        batch_size: images a batch.

    Yields:
        Numbers of images, int (B,), and crops of each, uint8 (B, 2, size, size, 3).

    Raises:
        UserError: where an image cannot be read.
    """

    def read(index):
        rng = np.random.default_rng((seed, epoch, index))
        draws = [draw_crop(rng, LIKE_THE_WHOLE, flip=True) for _ in range(CROPS)]
        # Of what is read, as much detail as of a whole image that is scored.
        at_least = math.ceil(2 * size / shortest_side(box for box, _ in draws))
        try:
            image = source.load(index, at_least=at_least)
        except UnreadableImage as error:
            raise UserError(f"{source.name(index)}: was read before and cannot be now: {error}") from None
        return index, np.stack([network_input(image, size, *draw) for draw in draws])

    # Its last number is no image's.
    order = np.random.default_rng((seed, epoch, len(source))).permutation(len(source)).tolist()
    crops = ordered_map(read, order, share_cores()[0])
    while batch := list(itertools.islice(crops, batch_size)):
        indices, pixels = zip(*batch, strict=True)
        yield np.array(indices), np.stack(pixels)
