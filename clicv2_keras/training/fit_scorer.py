"""From images with labels to the head of a `ComplexityScorer`, the encoder as it is: alone, or to start a run with."""

import logging

import keras
import numpy as np

from clicv2_keras.data.reading import read_images
from clicv2_keras.training.fit_head import fit_head
from clicv2_keras.training.prior_knowledge import anchors, equivalent_versions
from clicv2_keras.training.source import check_labels
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints, fingerprint
from clicv2_keras.utils.images import network_input
from clicv2_keras.utils.text import as_unicode

log = logging.getLogger(__name__)
# Enough to know which features a change moves.
MOST_CHANGED = 1000
AT_A_TIME = 32


def fit_scorer(scorer, labels, steadiness=0.0, seed=0, batch_size=AT_A_TIME):
    """Fit the `LinearHead` of a scorer to labels by `fit_head`; it then knows what it was fitted to.

    Args:
        scorer: the `ComplexityScorer`; its head is changed in place.
        labels: `JointSets`. Images that cannot be read are told and left out.
        steadiness: what the mean square of a score's change by mirroring, slight crops and resizing counts against the
            fit's. With it, blank pictures are taught as 0 and collages as 1.
        seed: of the collages.
        batch_size: images that are computed at a time.

    Returns:
        `HeadWeights`.

    Raises:
        UserError: where too few images can be read, or all labels are equal.
    """
    read_out, every = scorer.head.read_out, -(-len(labels.images) // MOST_CHANGED) if steadiness else 0
    images, versions, seen, labels = _load(labels, scorer.encoder.image_size, every)

    def mean(features):
        return features.mean(axis=1, dtype="float64")

    def read(images, pool=lambda features: features):
        found = None
        for start in range(0, len(images), batch_size):
            tokens = scorer.encoder.predict_on_batch(images[start : start + batch_size])
            part = pool(keras.ops.convert_to_numpy(read_out(tokens)))
            if found is None:  # all of it at once: to join parts in the end takes as much again
                found = np.empty((len(images), *part.shape[1:]), part.dtype)
            found[start : start + len(part)] = part
        return found

    features, prior = read(images), {}
    if steadiness:
        moved = read(np.concatenate(versions), mean).reshape(len(versions), -1, features.shape[2])
        changes = moved - mean(features[::every])[:, None]
        pictures, known = anchors(images, seed)
        prior = {"changes": changes.reshape(-1, features.shape[2]), "steadiness": steadiness}
        prior["anchors"] = read(pictures), known
    weights = fit_head(features, labels.images.scores, labels.groups, common=labels.common, **prior)
    scorer.head.kernel.assign(weights.kernel)
    scorer.head.bias.assign(weights.bias)
    # So that no evaluation takes these images for unseen ones; without labels of people, all are.
    scorer.head.fitted_to = Fingerprints() if scorer.head.label_range is None else seen
    log.info(f"fitted {len(weights.kernel)} weights of the head to {len(images)} images")
    return weights


def start_label_branch(model, labels, recipe, resumed):
    """Bring the label branch of a `CLICv2` to where a run begins: its head fitted by least squares.

    Args:
        model: the `CLICv2`.
        labels: `JointSets`.
        recipe: the `Recipe`.
        resumed: whether a checkpoint gave the weights already. What no checkpoint holds is found anew.
    """
    branch, encoder = model.labels, model.encoder
    if resumed:
        branch.head.fitted_to = _load(labels, encoder.image_size, every=0)[2]
    else:
        batch_size = min(recipe.train.batch_size, AT_A_TIME)
        weights = fit_scorer(branch.scorer(encoder), labels, recipe.labels.steadiness, recipe.seed, batch_size)
        branch.offsets.assign(
            [weights.intercepts.get(name, weights.bias) - weights.bias for name in labels.group_names]
        )
    if encoder.fitted_to is not None:
        encoder.fitted_to |= branch.head.fitted_to


def _load(labels, side, every):
    """What can be read of the images: uint8 (n, S, S, 3), versions, their `Fingerprints` and their labels. Tells what
    is left out.

    The versions are, of the first of `every` so many images, (4, S, S, 3): what must not change a score.
    """
    images, codes, kept, data = [], [], [], labels.images

    def see(image):
        return network_input(image, side), fingerprint(image)

    def change(image):
        return np.stack([network_input(version, side) for version in equivalent_versions(image)])

    for note in data.notes:
        log.info(as_unicode(note))
    for read in read_images(data.source, see, 2 * side):
        if read.error:
            log.info(as_unicode(f"unreadable, left out: {read.name}: {read.error}"))
            continue
        pixels, code = read.value
        images.append(pixels)
        codes.append(code)
        kept.append(read.index)
    check_labels(data, len(images))
    groups, labels = labels.group_names, labels.subset(np.array(kept))
    if lost := set(groups) - set(labels.group_names):
        raise UserError(f"{data.name}: no image of {min(lost) or 'it'} can be read; mend it, or leave it out")
    check_labels(labels.images, len(images))
    # Read once more: to change each image when one in `every` is wanted takes longer.
    versions = []
    for read in read_images(data.source, change, 2 * side, kept[::every]) if every else ():
        if read.error:
            raise UserError(f"{read.name}: was read before and cannot be now: {read.error}")
        versions.append(read.value)
    return np.stack(images), versions, Fingerprints(codes), labels
