"""Fine-tuning, from a model and labelled images to a `ComplexityScorer` in a `.keras` file."""

from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from clicv2_keras.data.labelled.joint_sets import join_sets
from clicv2_keras.data.labelled.scored_sets import open_scored_sets
from clicv2_keras.layers.patch_read_out import PARTS
from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.models.find_model import encoder_of, find_model
from clicv2_keras.training.crops import crop_batches
from clicv2_keras.training.fit_head import fit_head
from clicv2_keras.training.optimizer import adamw
from clicv2_keras.training.prior_knowledge import anchors, equivalent_versions
from clicv2_keras.training.whole_network import WholeNetwork
from clicv2_keras.utils.atomic_files import save_model
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints, fingerprint
from clicv2_keras.utils.images import UnreadableImage, network_input

BATCH = 32
# Enough to know which features a change moves.
MOST_CHANGED = 1000


def finetune(
    model="default",
    dataset="csv",
    root=None,
    output="scorer.keras",
    parts=None,
    splits=("train",),
    steadiness=25.0,
    whole=False,
    epochs=10,
    learning_rate=5e-5,
    within_category=None,
    seed=0,
    progress=True,
):
    """Turn labelled images into a `ComplexityScorer`.

    Its head gives each patch a number in [0, 1] and averages them. Where a data set names parts, only images of those
    in `splits` are used. Images whose scores may be compared share an intercept while fitting: those of a data set, or
    of a category where scores are ranked within categories. The scorer keeps the intercept of the data sets whose scale
    is common to all their images, their mean where there are several. Without such a set it keeps the mean of all
    intercepts: the level of its scores across kinds of image is then not calibrated.

    Args:
        model: see `find_model`; its encoder is used, whatever head it has.
        dataset, root, within_category: see `evaluate`; each of the first two may be a list, of as many data sets.
        splits: the parts of a data set that are fitted to.
        output: the `.keras` file to write; None writes none.
        parts: the features the head reads; see `PatchReadOut`. None is those of the model's own `LinearHead`, or all.
        steadiness: how little mirroring, slight crops and resizing shall move a score: what their mean square counts
            against the fit's. With it, blank pictures are taught as 0 and collages as 1. 0 fits the labels alone.
        whole: train the encoder as well, after the head alone: by AdamW on the squared error of two crops of each
            image, and on what their scores differ by.
        epochs, learning_rate: of the whole network; the rate falls to 0 by cosine.
        seed: of the order of the images and their crops.
        progress: show what happens.

    Returns:
        The `ComplexityScorer`. It carries the fingerprints of the images that it was fitted to, so that `evaluate` does
        not judge it on them.

    Raises:
        UserError: one line on what is wrong with the model, the data or the output.
    """
    console = Console(quiet=not progress, highlight=False, soft_wrap=True)
    if output is not None and Path(output).suffix != ".keras":
        raise UserError(f"{output}: a scorer is saved as a .keras file; name one")
    sets = open_scored_sets(dataset, root, within_category)
    data, groups, common = join_sets([_part(each, splits) for each in sets])
    model = find_model(model)
    encoder = encoder_of(model)
    if not parts:
        head = getattr(model, "head", None)
        parts = head.read_out.parts if isinstance(head, LinearHead) else PARTS
    keras.utils.set_random_seed(seed)

    side = encoder.image_size
    every = -(-len(data) // MOST_CHANGED) if steadiness else 0
    images, versions, seen, data, kept = _load(data, side, every, console)
    groups = groups[kept]
    scorer = ComplexityScorer(encoder, LinearHead(parts, data.score_range))

    def mean(features):
        return features.mean(axis=1, dtype="float64")

    def read(images, pool=lambda features: features):
        shown = range(0, len(images), BATCH)
        shown = track(shown, "reading tokens", console=console, transient=True, disable=not progress)
        tokens = (encoder.predict_on_batch(images[start : start + BATCH]) for start in shown)
        return np.concatenate([pool(keras.ops.convert_to_numpy(scorer.head.read_out(t))) for t in tokens])

    features, steady = read(images), {}
    if steadiness:
        unchanged = mean(features[::every])
        changes = (
            read(np.concatenate(versions), mean).reshape(len(versions), -1, features.shape[2]) - unchanged[:, None]
        )
        pictures, known = anchors(images, seed)
        steady = {"changes": changes.reshape(-1, features.shape[2]), "steadiness": steadiness}
        steady["anchors"] = read(pictures), known
    weights = fit_head(features, data.scores, groups, common=common, **steady)
    scorer.head.kernel.assign(weights.kernel)
    scorer.head.bias.assign(weights.bias)
    # So that no evaluation takes these images for unseen ones.
    scorer.head.fitted_to = seen
    if whole and encoder.fitted_to is not None:
        encoder.fitted_to |= seen
    console.print(f"fitted {len(weights.kernel)} weights of the head to {len(images)} images", markup=False)
    if whole:
        _train(scorer, data, groups, common, weights, epochs, learning_rate, seed, console)
    if output is not None:
        save_model(scorer, output)
        console.print(f"{output}: a ComplexityScorer; next: clicv2-keras evaluate {output} --dataset …", markup=False)
    return scorer


def _part(data, splits):
    """The parts of `ScoredImages` that are fitted to; all where it names none."""
    if not any(data.splits):
        return data
    there = np.isin(data.splits, list(splits))
    if not there.any():
        parts = ", ".join(sorted(set(data.splits)))
        raise UserError(f"{data.name}: has no image in {' or '.join(splits)}; its parts are {parts}")
    return data.subset(there)


def _load(data, side, every, console):
    """What can be read of the images: uint8 (n, S, S, 3), their `Fingerprints`, their labels and their numbers.

    Before these, of the first of `every` so many images, (4, S, S, 3): its changed versions.
    """
    images, versions, codes, kept = [], [], [], []
    for i in range(len(data)):
        try:
            image = data.source.load(i, at_least=2 * side)
        except UnreadableImage as error:
            console.print(f"unreadable, left out: {data.source.name(i)}: {error}", markup=False)
            continue
        images.append(network_input(image, side))
        codes.append(fingerprint(image))
        if every and len(kept) % every == 0:
            versions.append(np.stack([network_input(version, side) for version in equivalent_versions(image)]))
        kept.append(i)
    if len(images) < 10:
        raise UserError(f"{data.name}: {len(images)} readable labelled images are too few to fit to; give at least 10")
    data = data.subset(np.array(kept))
    if np.ptp(data.scores) == 0:
        raise UserError(f"{data.name}: all labels are {data.scores[0]:g}: there is nothing to learn from them")
    return np.stack(images), versions, Fingerprints(codes), data, np.array(kept)


def _train(scorer, data, groups, common, weights, epochs, learning_rate, seed, console):
    names = list(weights.intercepts)
    level = [names.index(name) for name in common] or None
    network = WholeNetwork(scorer, [weights.intercepts[name] - weights.bias for name in names], level)
    steps = epochs * -(-len(data) // BATCH)
    optimizer = adamw(network.trainable_variables, learning_rate, steps, weight_decay=0.05)
    losses = {"score": "mse", "change": "mse"}
    network.compile(optimizer, loss=losses)
    categories = np.array([names.index(g) for g in groups], "int32")
    scores = data.scores[:, None].astype("float32")
    # Batches are given by hand: within `fit`, an image that has gone would end in TensorFlow's traceback.
    for epoch in range(epochs):
        network.reset_metrics()
        for indices, crops in crop_batches(data.source, scorer.encoder.image_size, BATCH, seed, epoch):
            inputs = {"crops": crops, "category": categories[indices]}
            targets = {"score": scores[indices], "change": np.zeros(len(indices), "float32")}
            logs = network.train_on_batch(inputs, targets, return_dict=True)
        console.print(f"epoch {epoch + 1}/{epochs}  training RMSE {logs['score_loss'] ** 0.5:.4f}")
    network.fold()
