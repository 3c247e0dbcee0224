"""One pass over the images: what every predictor is made of."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from clicv2_keras.errors import UserError
from clicv2_keras.evaluate.handcrafted import LONGEST, handcrafted
from clicv2_keras.evaluate.meter import Meter
from clicv2_keras.fingerprints import fingerprint
from clicv2_keras.images import UnreadableImage, network_input
from clicv2_keras.layers import PatchEntropy
from clicv2_keras.models import CLICv2, ComplexityScorer, DiversityHead, LinearHead, MaskedEntropyBranch, ViTEncoder
from clicv2_keras.models.find_model import encoder_of

BATCH = 64
DIVERSITY = "label-free: diversity of the tokens"
MASKED_ENTROPY = "label-free: expected entropy of hidden patches"
FITTED = "the model's own score"


@dataclass
class Measures:
    """What was measured of each readable image, in order.

    `index` (n,) are their numbers in the source, `unreadable` pairs of name and reason, `fingerprints` uint8 (n, 194)
    what they look like. `model`, `untrained` and
    `pixels` map names to float (n,) numbers or (n, F) features: of the model, of the same encoder at random
    initialisation, and of the pixels alone. Features go by the parts of `PatchReadOut`, averaged over the patches.
    """

    index: np.ndarray
    unreadable: list
    fingerprints: np.ndarray
    model: dict
    untrained: dict
    pixels: dict


def measure(source, model, untrained=True, pixels=True, seed=0, tick=lambda: None):
    """Read every image of a source once, and measure it.

    Args:
        source: see `open_source`.
        model: a `ComplexityScorer`, `CLICv2` or `ViTEncoder`; or a `Meter`, to be compiled once for many calls.
        untrained: also measure the encoder as it was before training.
        pixels: also measure the pixels: patch entropy and handcrafted measures.
        seed: of the untrained encoder.
        tick: called after each image.

    Raises:
        UserError: where no image can be read.
    """
    encoder = encoder_of(model)
    meters = {"model": model if isinstance(model, Meter) else Meter(encoder, _heads(model))}
    if untrained:
        meters["untrained"] = Meter(untrained_encoder(encoder, seed), {DIVERSITY: DiversityHead()})
    parts = {name: [] for name in ("model", "untrained", "pixels")}
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
            for name, meter in meters.items():
                parts[name].append(meter.predict_on_batch(images))
            if pixels:
                crafted = [measures for *_, measures in readable]
                parts["pixels"].append(_entropies(images, encoder.patch_size) | _table(crafted))
    if not index:
        raise UserError(f"{source.name(0)} and all {len(source)} images with it are unreadable: {unreadable[0][1]}")
    joined = {name: _join(batches) for name, batches in parts.items()}
    return Measures(np.array(index), unreadable, np.stack(fingerprints), **joined)


def untrained_encoder(encoder, seed):
    """The encoder as it was before training, at a random initialisation."""
    keras.utils.set_random_seed(seed)
    return ViTEncoder.from_config({**encoder.get_config(), "name": "untrained_encoder"})


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
