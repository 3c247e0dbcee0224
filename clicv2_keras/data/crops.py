"""Crops of an image of a source, decoded no larger than they need."""

import math
import threading

import numpy as np

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.views import shortest_side


class CropReader:
    """Reads random crops, passing over what cannot be read."""

    def __init__(self, source, image_size, on_unreadable):
        self.source = source
        self.image_size = image_size
        self.on_unreadable = on_unreadable
        self._unreadable = set()
        self._lock = threading.Lock()

    def check(self):
        """Raise UserError now rather than search for ever later."""
        self._load(0, self.image_size)

    def _load(self, index, at_least):
        for number in range(index, index + len(self.source)):
            number %= len(self.source)
            # What failed before is tried again: that it failed must not change a later batch.
            try:
                return number, self.source.load(number, at_least)
            except UnreadableImage as error:
                self._report(number, str(error))
        first = self.source.name(0)
        raise UserError(f"{first} and all {len(self.source)} images with it are unreadable; name images that open")

    def _report(self, number, reason):
        # Two threads may meet it at the same time.
        with self._lock:
            if number not in self._unreadable:
                self._unreadable.add(number)
                if self.on_unreadable:
                    self.on_unreadable(self.source.name(number), reason)

    def crops(self, index, drawn, detail=1):
        """The number of the image that was read, and its crops: `drawn(number)`; see `read_crops`."""
        draws = drawn(index)
        number, image = self._load(index, _scale_for(draws, self.image_size, detail))
        if number != index:
            # What stands in for it is read as it would be in its own place.
            return self.crops(number, drawn, detail)
        return number, _crops_of(image, draws, self.image_size)


def read_crops(source, number, draws, image_size):
    """Crops of an image of a source, uint8 (n, S, S, 3), that `utils.views.draw_crop` drew: as a run reads them."""
    return _crops_of(source.load(number, _scale_for(draws, image_size)), draws, image_size)


def _scale_for(draws, image_size, detail=1):
    """The shortest side that an image must be decoded with, so that `detail` pixels remain for each of a crop's."""
    return math.ceil(detail * image_size / shortest_side(box for box, _ in draws))


def _crops_of(image, draws, image_size):
    """Crops of a decoded image, uint8 (n, S, S, 3)."""
    return np.stack([network_input(image, image_size, *draw) for draw in draws])
