import numpy as np
from keras import ops

from clicv2_keras.data.reading import read_images
from clicv2_keras.recipe.shapes import PIXELS
from clicv2_keras.training.pixel_measures import pixel_targets
from clicv2_keras.training.source import held_out_source
from clicv2_keras.utils.images import network_input

BATCH = 32


class HeldOutGuide:
    """How much of what its teacher sees a guided model explains, on images that it is never trained on.

    Args:
        guide: a `GuideBranch` with fitted targets; its teacher is asked once.
        images: uint8 (n, S, S, 3), whole images.
        measures: float (n, M), what was measured in them, where there is no teacher.
    """

    def __init__(self, guide, images, measures=None):
        self.images = images
        if measures is None:
            self.known = self._by_batches(lambda batch: guide.targets(guide.teacher(batch)))
        else:
            self.known = None, ops.convert_to_numpy(guide.targets(measures))

    def ask(self, model):
        """Shares of the targets' variance, at most 1, by the column of `metrics.csv`."""
        predicted = self._by_batches(lambda batch: model.guide.predict(model.encoder(batch)))
        names = ("held_out_grid", "held_out_pooled")
        return {
            name: float(1 - np.square(target - found).mean() / np.square(target).mean())
            for name, target, found in zip(names, self.known, predicted, strict=True)
            if target is not None
        }

    def _by_batches(self, function):
        starts = range(0, len(self.images), BATCH)
        each = [function(ops.convert_to_tensor(self.images[start : start + BATCH])) for start in starts]
        return [
            None if parts[0] is None else np.concatenate([ops.convert_to_numpy(part) for part in parts])
            for parts in zip(*each, strict=True)
        ]


def held_out_guide(model, recipe):
    """That of a recipe; None without a guide or without images held out. Unreadable images are left out."""
    source = held_out_source(recipe)
    if source is None or model.guide is None:
        return None
    size = recipe.data.image_size
    reads = read_images(source, lambda image: network_input(image, size), 2 * size)
    images = [read.value for read in reads if not read.error]
    if not images:
        return None
    measures = np.stack([pixel_targets(image) for image in images]) if recipe.guide.teacher == PIXELS else None
    return HeldOutGuide(model.guide, np.stack(images), measures)
