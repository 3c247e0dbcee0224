"""One pass over the images: what every predictor is made of."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from keras import ops

from clicv2_keras.data.reading import read_images
from clicv2_keras.evaluation.handcrafted import LONGEST, handcrafted
from clicv2_keras.evaluation.judged_model import ReadOutNetwork, diversity_head, judged_model
from clicv2_keras.evaluation.untrained_encoders import UntrainedEncoders
from clicv2_keras.layers import PatchEntropy
from clicv2_keras.layers.patch_read_out import PARTS
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import fingerprint
from clicv2_keras.utils.images import network_input

BATCH = 64


class ReadOuts(NamedTuple):
    """What a model gives of n images, means over the patches: `parts` (n, F) by part of `PatchReadOut`, of a `.tflite`
    the token alone, and `scores` (n,) by head: `fitted` or `label_free`, `diversity`, `masked_entropy`."""

    parts: dict
    scores: dict

    @property
    def features(self):
        """All parts side by side, (n, F); None where one is missing."""
        if set(PARTS) - set(self.parts):
            return None
        return np.concatenate([self.parts[part] for part in PARTS], axis=1)


@dataclass
class Features:
    """What is known of each readable image, in order; arrays are float64.

    `index` (n,) are their numbers in the source, `unreadable` the `Read`s of the others, `fingerprints` uint8 (n, 194)
    what they look like. `model` are the model's `ReadOuts`, `untrained` those of the same encoder at each random
    initialisation. `pixels` are of the pixels alone, by name: (n,) or (n, F).
    """

    index: np.ndarray
    unreadable: list
    fingerprints: np.ndarray
    model: ReadOuts
    untrained: list
    pixels: dict


class FeatureExtractor:
    """Reads images once and says what a model makes of them; compiled once for many calls.

    Args:
        model: see `judged_model`; where its weights change, so do the features.
        untrained_seeds: the encoder as it was before training too, at these random initialisations (no `.tflite`).
        pixels: of "entropy" (patch entropies) and "handcrafted" (slow): what to take from the pixels alone.
        batch_size: images that the model sees at a time.

    Attributes:
        untrained: the `UntrainedEncoders`.
    """

    def __init__(self, model, untrained_seeds=(), pixels=(), batch_size=BATCH):
        self.model = model
        self.judged = judged_model(model)
        self.pixels = tuple(pixels)
        self.batch_size = batch_size
        encoder = self.judged.encoder
        self.untrained = UntrainedEncoders(encoder, untrained_seeds if encoder is not None else ())
        if self.untrained:
            head = diversity_head(self.judged.model)
            self._untrained_network = ReadOutNetwork(self.untrained.encoder, {"diversity": head})

    def extract(self, source, tick=lambda: None):
        """The `Features` of a source of images, see `open_source`; `tick` is called after each.

        Raises:
            UserError: where no image can be read.
        """
        unreadable, index, fingerprints, crafted, model, pixels = [], [], [], [], [], []
        untrained = [[] for _ in range(len(self.untrained))]

        def readable():
            for read in read_images(source, self._look, at_least=2 * max(self.judged.image_size, LONGEST)):
                tick()
                if read.error:
                    unreadable.append(read)
                else:
                    yield read

        reads = readable()
        while batch := list(itertools.islice(reads, self.batch_size)):
            index += [read.index for read in batch]
            images, codes, numbers = zip(*(read.value for read in batch), strict=True)
            images = np.stack(images)
            fingerprints += codes
            crafted += numbers
            model.append(self.judged.read_outs(images))
            for _, batches in zip(self.untrained, untrained, strict=True):
                batches.append(self._untrained_network.predict_on_batch(images))
            if "entropy" in self.pixels:
                pixels.append(_patch_entropies(images, self.judged.patch_size))
        if not index:
            first = unreadable[0]
            raise UserError(f"{first.name} and all {len(source)} images with it are unreadable: {first.error}")
        return Features(
            np.array(index),
            unreadable,
            np.stack(fingerprints),
            _read_outs(model),
            [_read_outs(batches) for batches in untrained],
            _join(pixels) | {name: np.array([row[name] for row in crafted]) for name in crafted[0]},
        )

    def _look(self, image):
        """Of a `PIL.Image`: the network's input, its fingerprint and its handcrafted measures, if these are wanted."""
        measures = handcrafted(image) if "handcrafted" in self.pixels else {}
        return network_input(image, self.judged.image_size), fingerprint(image), measures


def _patch_entropies(images, patch_size):
    """Of uint8 images (B, S, S, 3): the mean `PatchEntropy` (B,), and mean and deviation over the patches in fine and
    in coarse bins (B, 4)."""
    statistics = []
    for bins in (256, 32):
        entropy = ops.convert_to_numpy(PatchEntropy(patch_size, bins)(images))
        statistics += [entropy.mean(axis=1), entropy.std(axis=1)]
    return {"mean_entropy": statistics[0], "entropy_statistics": np.stack(statistics, axis=1)}


def _read_outs(batches):
    return ReadOuts(*(_join([batch[kind] for batch in batches]) for kind in ReadOuts._fields))


def _join(batches):
    return {name: np.concatenate([np.asarray(b[name], "float64") for b in batches]) for name in (batches or [{}])[0]}
