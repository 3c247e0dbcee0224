"""What a run has learnt, asked of unseen procedural images, whose complexity is known."""

import numpy as np
from keras import ops

from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import open_source
from clicv2_keras.evaluation.content import RETRIEVED
from clicv2_keras.evaluation.evaluator import Evaluator
from clicv2_keras.evaluation.report.names import PREDICTOR_NAMES
from clicv2_keras.layers import EntropyMasking, patchify
from clicv2_keras.models import MaskedEntropyBranch

# To fit on, and as many to judge on.
IMAGES = 1000
UNTRAINED_SEEDS = 3
# Far from any recipe's seed that people take, so that none of these images was trained on.
UNSEEN_SEED = 2**31 - 1
READ_OUTS = ("ridge_mean_token", "ridge")
HIDDEN = "hidden_entropy_explained"


def unseen_images(image_size, count=2 * IMAGES):
    """Procedural images that no recipe trains on, with their known complexity: `ScoredImages`, half of them `train`."""
    source = open_source("procedural", num_images=count, image_size=image_size, seed=UNSEEN_SEED)
    return ScoredImages(
        name="unseen procedural images",
        source=source,
        scores=np.array([source.complexity(i) for i in range(count)]),
        score_range=(0.0, 1.0),
        categories=np.full(count, ""),
        splits=np.repeat(["train", "test"], [count // 2, count - count // 2]),
    )


def known_complexity(recipe, model):
    """How far the encoder's features agree with the known complexity, beside the same encoder untrained; and how well
    the model does on unseen images what it was trained to do.

    Ridges are fitted on 1,000 images and judged on 1,000 others.

    Args:
        recipe: the `Recipe` of the run.
        model: its `CLICv2`.

    Returns:
        Figures by key: `model/ridge/srcc`, `untrained/ridge_mean_token/pcc`, `model/token_retrieval` and so on, see
        `Evaluation.figures`; with a `MaskedEntropyBranch` that predicts patches also `model/hidden_entropy_explained`
        and `no_model/hidden_entropy_explained`, see `hidden_entropy_explained`.
    """
    data = unseen_images(recipe.data.image_size)
    # A copy: the model's own may be spread over devices that take no single image, and compute in bfloat16.
    encoder = model.encoder.copy(dtype="float32")
    evaluator = Evaluator(
        data, (*READ_OUTS, "mean_entropy"), untrained_seeds=UNTRAINED_SEEDS, seed=recipe.seed, content=True
    )
    figures = evaluator.run(encoder).figures
    branch = model.entropy
    if branch is not None and branch.predicts_patches:
        test = load_images(data.source, np.flatnonzero(data.splits == "test"), recipe.data.image_size)
        explained = hidden_entropy_explained(_copy(branch, encoder), encoder, test)
        figures[f"model/{HIDDEN}"], figures[f"no_model/{HIDDEN}"] = explained
    return figures


def hidden_entropy_explained(branch, encoder, images):
    """How much of the variance of the entropy of hidden patches a `MaskedEntropyBranch` explains, and how much the mean
    entropy of the image's visible patches does: two floats, 1 for all of it, below 0 where a constant is better.

    Args:
        encoder: the `ViTEncoder` that reads the visible patches.
        images: uint8 (n, S, S, 3).
    """
    masking = EntropyMasking(encoder.patch_size, branch.mask_ratio, branch.bins, branch.statistics[:1], seed=0)
    hidden, guesses = [], []
    for start in range(0, len(images), 100):
        batch = ops.convert_to_tensor(images[start : start + 100])
        masks = masking(batch)
        keep, masked = masks["keep"], masks["masked"]
        visible = encoder.encode(patchify(batch, encoder.patch_size), keep=keep)
        predicted = branch.predict(visible, keep, masked)
        mean = ops.mean(ops.take_along_axis(masks["entropy"], keep, axis=1), axis=1, keepdims=True)
        hidden.append(ops.convert_to_numpy(masks["targets"]))
        guesses.append([ops.convert_to_numpy(guess) + np.zeros_like(hidden[-1]) for guess in (predicted, mean)])
    hidden, guesses = np.concatenate(hidden), np.concatenate(guesses, axis=1)
    return tuple(float(1 - np.mean((guess - hidden) ** 2) / np.var(hidden)) for guess in guesses)


def for_people(figures):
    """The figures of `known_complexity` as text: rows of what they are of, PCC and SRCC; and lines below these."""
    encoders = {"model": "trained encoder", "untrained": f"untrained, mean of {UNTRAINED_SEEDS} seeds"}
    rows = [
        (f"{encoder}: {PREDICTOR_NAMES[key]}", f"{group}/{key}")
        for group, encoder in encoders.items()
        for key in READ_OUTS
    ]
    rows.append((PREDICTOR_NAMES["mean_entropy"], "no_model/mean_entropy"))
    rows = [(name, *(f"{figures[f'{key}/{metric}']:.3f}" for metric in ("pcc", "srcc"))) for name, key in rows]
    shares = [
        f"{name} {figures[f'{key}/token_retrieval']:.3f}" for key, name in (encoders | {"chance": "chance"}).items()
    ]
    lines = [f"a token finds the other shifted view of its image among {RETRIEVED}: {'; '.join(shares)}"]
    if f"model/{HIDDEN}" in figures:
        model, mean = (figures[f"{group}/{HIDDEN}"] for group in ("model", "no_model"))
        lines.append(
            f"variance of hidden patches' entropy explained: {model:.3f}, by the visible patches' mean {mean:.3f}"
        )
    return rows, lines


def _copy(branch, encoder):
    """A branch of the same weights on another encoder."""
    other = MaskedEntropyBranch.from_config(branch.get_config())
    other.build_for(encoder)
    other.set_weights(branch.get_weights())
    return other
