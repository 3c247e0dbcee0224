import contextlib

import numpy as np
from keras import ops

from clicv2_keras.data.crops import read_crops
from clicv2_keras.data.reading import read_images
from clicv2_keras.recipe.shapes import PIXELS
from clicv2_keras.training.pixel_measures import pixel_targets
from clicv2_keras.training.source import held_out_source, packed_targets
from clicv2_keras.utils.images import UnreadableImage, network_input

BATCH = 32


class HeldOutGuide:
    """How much of what its teacher sees a guided model explains, on images that it is never trained on.

    Args:
        images: uint8 (n, S, S, 3).
        known: their targets: float (n, N, G), or None for a guide without a grid, and (n, P).
    """

    def __init__(self, images, known):
        self.images = images
        self.known = known

    def ask(self, model):
        """Shares of the targets' variance, at most 1, by the column of `metrics.csv`."""
        predicted = by_batches(self.images, lambda batch: model.guide.predict(model.encoder(batch)))
        names = ("held_out_grid", "held_out_pooled")
        return {
            name: float(1 - np.square(target - found).mean() / np.square(target).mean())
            for name, target, found in zip(names, self.known, predicted, strict=True)
            if target is not None
        }


def by_batches(images, function):
    """The arrays that `function` gives of images, batch by batch; None where it gives None."""
    starts = range(0, len(images), BATCH)
    each = [function(ops.convert_to_tensor(images[start : start + BATCH])) for start in starts]
    return [
        None if parts[0] is None else np.concatenate([ops.convert_to_numpy(part) for part in parts])
        for parts in zip(*each, strict=True)
    ]


def held_out_guide(model, recipe):
    """That of a recipe; None without a guide or without images held out. Unreadable images are left out.

    Whole images; of packed targets the first view of each.
    """
    source, guide, size = held_out_source(recipe), model.guide, recipe.data.image_size
    if source is None or guide is None:
        return None
    packed = packed_targets(recipe, source)
    if packed:
        reads = list(read_views(source, packed, size))
        images = [image for image, _ in reads]
        known = [np.stack(part).astype("float32") for part in zip(*(targets for _, targets in reads), strict=True)]
    else:
        reads = read_images(source, lambda image: network_input(image, size), 2 * size)
        images = [read.value for read in reads if not read.error]
    if not images:
        return None
    images = np.stack(images)
    if recipe.guide.teacher == PIXELS:
        measures = np.stack([pixel_targets(image) for image in images])
        known = None, ops.convert_to_numpy(guide.targets(measures))
    elif not packed:
        known = by_batches(images, lambda batch: guide.targets(guide.teacher(batch)))
    return HeldOutGuide(images, known)


def read_views(source, packed, size):
    """The first packed view of each image that can be read, uint8 (S, S, 3), and its targets."""
    for number in range(len(source)):
        with contextlib.suppress(UnreadableImage):
            image = read_crops(source, number, [packed.draw(number, 0)], size)[0]
            yield image, packed.read(number, 0, image)
