"""One pass over the images: what every predictor is made of."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from keras import ops

from clicv2_keras.evaluation.handcrafted import LONGEST, handcrafted
from clicv2_keras.evaluation.meter import Meter
from clicv2_keras.layers import PatchEntropy
from clicv2_keras.models import CLICv2, ComplexityScorer, DiversityHead, LinearHead, MaskedEntropyBranch
from clicv2_keras.models.find_model import encoder_of
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import fingerprint
from clicv2_keras.utils.images import UnreadableImage, network_input

BATCH = 64
DIVERSITY = "label-free: diversity of the tokens"
MASKED_ENTROPY = "label-free: expected entropy of hidden patches"
FITTED = "the model's own score"


@dataclass
class Measures:
    """What was measured of each readable image, in order.

    `index` (n,) are their numbers in the source, `unreadable` pairs of name and reason, `fingerprints` uint8 (n, 194)
    what they look like. `model`, each of the list `untrained` and `pixels` map names to float (n,) numbers or (n, F)
    features: of the model, of the same encoder at one of several random initialisations, and of the pixels alone.
    Features go by the parts of `PatchReadOut`, averaged over the patches.
    """

    index: np.ndarray
    unreadable: list
    fingerprints: np.ndarray
    model: dict
    untrained: list
    pixels: dict


def measure(source, model, untrained=(), pixels=True, tick=lambda: None):
    """Read every image of a source once, and measure it.

    Args:
        source: see `open_source`.
        model: a `ComplexityScorer`, `CLICv2` or `ViTEncoder`; or a `Meter`, to be compiled once for many calls.
        untrained: seeds; also measure the encoder as it was before training, at these random initialisations.
        pixels: also measure the pixels: patch entropy and handcrafted measures.
        tick: called after each image.

    Raises:
        UserError: where no image can be read.
    """
    encoder = encoder_of(model)
    meter = model if isinstance(model, Meter) else Meter(encoder, _heads(model))
    blank = _Untrained(encoder, untrained)
    of_model, of_pixels, of_untrained = [], [], [[] for _ in untrained]
    index, unreadable, fingerprints = [], [], []

    def read(i):
        try:
            image = source.load(i, at_least=2 * max(encoder.image_size, LONGEST))
            seen = network_input(image, encoder.image_size), fingerprint(image)
            return *seen, handcrafted(image) if pixels else None
        except UnreadableImage as error:
            return str(error)

    # Pillow and SciPy work outside Python's lock: all cores read.
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(source), BATCH):
            numbers = range(start, min(start + BATCH, len(source)))
            readable = []
            for i, found in zip(numbers, pool.map(read, numbers), strict=True):
                tick()
                if isinstance(found, str):
                    unreadable.append((source.name(i), found))
                else:
                    index.append(i)
                    readable.append(found)
            if not readable:
                continue
            images = np.stack([image for image, *_ in readable])
            fingerprints += [code for _, code, _ in readable]
            of_model.append(meter.predict_on_batch(images))
            for found, batches in zip(blank.predict_on_batch(images), of_untrained, strict=True):
                batches.append(found)
            if pixels:
                crafted = [measures for *_, measures in readable]
                of_pixels.append(_entropies(images, encoder.patch_size) | _table(crafted))
    if not index:
        raise UserError(f"{source.name(0)} and all {len(source)} images with it are unreadable: {unreadable[0][1]}")
    untrained = [_join(batches) for batches in of_untrained]
    return Measures(np.array(index), unreadable, np.stack(fingerprints), _join(of_model), untrained, _join(of_pixels))


class _Untrained:
    """The encoder at several random initialisations: compiled once, each one's weights put in when it is asked."""

    def __init__(self, encoder, seeds):
        self.weights = [encoder.untrained(seed).get_weights() for seed in seeds]
        self.meter = Meter(encoder.untrained(0), {DIVERSITY: DiversityHead()}) if seeds else None

    def predict_on_batch(self, images):
        """What a `Meter` tells of the images, for each initialisation."""
        for weights in self.weights:
            self.meter.encoder.set_weights(weights)
            yield self.meter.predict_on_batch(images)


def _heads(model):
    """The heads whose scores are a model's own, by name."""
    heads = {DIVERSITY: DiversityHead()}
    own = model.head if isinstance(model, ComplexityScorer) else model.entropy if isinstance(model, CLICv2) else None
    if isinstance(own, LinearHead):
        heads[FITTED] = own
    if isinstance(own, MaskedEntropyBranch) and own.target != "image":
        heads[MASKED_ENTROPY] = own
    return heads


def _entropies(images, patch_size):
    """Mean and deviation of the patch entropies of uint8 images (B, S, S, 3), in fine and in coarse bins."""
    out = []
    for bins in (256, 32):
        entropy = ops.convert_to_numpy(PatchEntropy(patch_size, bins)(images))
        out += [entropy.mean(axis=1), entropy.std(axis=1)]
    return {"mean patch entropy": out[0], "patch entropy statistics": np.stack(out, axis=1)}


def _table(rows):
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _join(batches):
    return {name: np.concatenate([np.asarray(b[name], "float64") for b in batches]) for name in (batches or [{}])[0]}
