"""One pass over the images: what every predictor is made of."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from clicv2_keras.data.reading import read_images
from clicv2_keras.evaluation.handcrafted import LONGEST, handcrafted
from clicv2_keras.layers import PatchEntropy, PatchReadOut
from clicv2_keras.layers.patch_read_out import PARTS
from clicv2_keras.models import CLICv2, ComplexityScorer, DiversityHead, LinearHead, MaskedEntropyBranch
from clicv2_keras.models.find_model import encoder_of
from clicv2_keras.models.kept_weights_jax import KeptWeights
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import fingerprint
from clicv2_keras.utils.images import network_input

BATCH = 64


class ReadOuts(NamedTuple):
    """What an encoder gives of n images, means over the patches: `parts` (n, F) by part of `PatchReadOut`, and `scores`
    (n,) by head: `fitted`, `diversity` or `masked_entropy`."""

    parts: dict
    scores: dict

    @property
    def features(self):
        """All parts side by side, (n, F)."""
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
        model: a `ComplexityScorer`, `CLICv2` or `ViTEncoder`; where its weights change, so do the features.
        untrained_seeds: the encoder as it was before training too, at these random initialisations.
        pixels: of "entropy" (patch entropies) and "handcrafted" (slow): what to take from the pixels alone.
    """

    def __init__(self, model, untrained_seeds=(), pixels=()):
        self.model = model
        self.encoder = encoder_of(model)
        self.pixels = tuple(pixels)
        self._network = _Network(self.encoder, _heads(model))
        # One network for all initialisations: each one's weights are put in when it is asked.
        self._initial = [self.encoder.untrained(seed).get_weights() for seed in untrained_seeds]
        blank = self.encoder.untrained(0) if untrained_seeds else None
        self._untrained = blank and _Network(blank, {"diversity": DiversityHead()})

    def extract(self, source, tick=lambda: None):
        """The `Features` of a source of images, see `open_source`; `tick` is called after each.

        Raises:
            UserError: where no image can be read.
        """
        unreadable, index, fingerprints, crafted, model, pixels = [], [], [], [], [], []
        untrained = [[] for _ in self._initial]

        def readable():
            for read in read_images(source, self._look, at_least=2 * max(self.encoder.image_size, LONGEST)):
                tick()
                if read.error:
                    unreadable.append(read)
                else:
                    yield read

        reads = readable()
        while batch := list(itertools.islice(reads, BATCH)):
            index += [read.index for read in batch]
            images, codes, numbers = zip(*(read.value for read in batch), strict=True)
            images = np.stack(images)
            fingerprints += codes
            crafted += numbers
            model.append(self._network.predict_on_batch(images))
            for weights, batches in zip(self._initial, untrained, strict=True):
                self._untrained.encoder.set_weights(weights)
                batches.append(self._untrained.predict_on_batch(images))
            if "entropy" in self.pixels:
                pixels.append(_patch_entropies(images, self.encoder.patch_size))
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
        return network_input(image, self.encoder.image_size), fingerprint(image), measures


class _Network(KeptWeights, keras.Model):
    """An encoder's read-outs and the scores of heads on it, compiled as one. It is never saved."""

    def __init__(self, encoder, heads):
        super().__init__(name="features")
        self.encoder = encoder
        self.heads = heads
        for head in heads.values():
            if not head.built:
                head.build_for(encoder)
        self.built = True

    def call(self, images):
        tokens = ops.cast(self.encoder(images), "float32")
        return {
            "parts": {part: ops.mean(PatchReadOut.read(part, tokens), axis=1) for part in PARTS},
            "scores": {
                name: ops.mean(head.patch_scores(images, tokens, self.encoder), axis=1)
                for name, head in self.heads.items()
            },
        }


def _heads(model):
    """The heads whose scores are a model's own, by name."""
    heads = {"diversity": DiversityHead()}
    own = model.head if isinstance(model, ComplexityScorer) else model.entropy if isinstance(model, CLICv2) else None
    if isinstance(own, LinearHead):
        heads["fitted"] = own
    if isinstance(own, MaskedEntropyBranch) and own.predicts_patches:
        heads["masked_entropy"] = own
    return heads


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
