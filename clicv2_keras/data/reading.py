"""The one way through a source of images: decoded in threads, in order; what cannot be read is told and left out."""

from typing import NamedTuple

import numpy as np

from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.threads import ordered_map, share_cores

TOLD = 3


class Read(NamedTuple):
    """One image of a source: its number and name, and `value`, what was made of it; or `error`, why it is not read."""

    index: int  # type: ignore[assignment]  # a tuple has a method of that name
    name: str
    value: object = None
    error: str | None = None


def read_images(source, function, at_least, indices=None):
    """Decode images, and make something of each in the same thread; a bounded number ahead of who asks.

    Args:
        source: see `open_source`.
        function: of a `PIL.Image` of mode RGB; its result is `Read.value`.
        at_least: pixels that both sides of a JPEG keep where it is decoded at a reduced scale.
        indices: numbers of the images, by default all.

    Yields:
        A `Read` an image, in order.
    """

    def read(index):
        try:
            return Read(index, source.name(index), function(source.load(index, at_least=at_least)))
        except UnreadableImage as error:
            return Read(index, source.name(index), error=str(error))

    # Pillow, SciPy and NumPy work outside Python's lock: all cores read.
    return ordered_map(read, range(len(source)) if indices is None else indices, share_cores()[0])


def load_images(source, indices, image_size):
    """Whole images at `image_size` x `image_size`, aspect not kept: uint8 (n, image_size, image_size, 3).

    Raises:
        UnreadableImage: naming the first that is.
    """
    images = []
    for read in read_images(source, lambda image: network_input(image, image_size), 2 * image_size, indices):
        if read.error:
            raise UnreadableImage(f"{read.name}: {read.error}")
        images.append(read.value)
    return np.stack(images)


def unreadable_note(unreadable, total, consequence="left out"):
    """One line on the `Read`s of images that could not be read: how many, what follows, the first three by name."""
    first = "; ".join(f"{read.name}: {read.error}" for read in unreadable[:TOLD])
    more = "; …" if len(unreadable) > TOLD else ""
    return f"{len(unreadable)} of {total} images are unreadable and {consequence}: {first}{more}"
