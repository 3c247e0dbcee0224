"""How much of what images show, rather than how complex they are, the features give away."""

from typing import NamedTuple

import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2_keras.data.pipeline import load_images
from clicv2_keras.layers import ShiftedPatchify
from clicv2_keras.models.find_model import encoder_of

RETRIEVED = 128


class Content(NamedTuple):
    """How often features tell one of `among` contents, 0 to 1, by key: those of the model, those of the untrained
    encoder (the mean of several, None of none), and by chance."""

    key: str
    model: float
    untrained: float | None
    chance: float
    among: int


def measure_content(model, data, features, seed=0, untrained_seeds=()):
    """What the features tell of the content.

    Args:
        model: see `find_model`.
        data: `ScoredImages`, and their `Features`.
        seed: of the folds, the images and the shifts.
        untrained_seeds: those that `features` were taken with.

    Returns:
        A list of `Content`: `category_accuracy`, but where the categories are too few or too small, and
        `token_retrieval`.
    """
    found, encoder = [], encoder_of(model)
    names, counts = np.unique(data.categories, return_counts=True)
    accuracy = category_accuracy(features.model.parts["token"], data.categories, seed)
    if accuracy is not None:
        untrained = [category_accuracy(read.parts["token"], data.categories, seed) for read in features.untrained]
        chance = float(counts.max() / counts.sum())
        found.append(Content("category_accuracy", accuracy, _mean(untrained), chance, len(names)))
    chosen = np.random.default_rng(seed).permutation(len(data))[:RETRIEVED]
    images = load_images(data.source, chosen, encoder.image_size)
    retrieved = token_retrieval(encoder, images, seed)
    untrained = [token_retrieval(encoder.untrained(each), images, seed) for each in untrained_seeds]
    found.append(Content("token_retrieval", retrieved, _mean(untrained), 1 / len(chosen), len(chosen)))
    return found


def linear_probe():
    """The usual one, not fitted yet: a linear classifier on standardised features (n, D)."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def category_accuracy(features, categories, seed=0):
    """How often a linear probe names the category of an unseen image, in 5-fold cross-validation: 0 to 1.

    Returns None where a category has fewer than 5 images, or there is one alone.
    """
    names, counts = np.unique(categories, return_counts=True)
    if len(names) < 2 or counts.min() < 5:
        return None
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_predict(linear_probe(), features, categories, cv=folds) == categories))


def token_retrieval(encoder, images, seed=0):
    """How often a token finds the other shifted view of its own image, by cosine: 0 to 1; by chance 1 / B.

    As in training: a token of one shifted view is compared with the tokens at its position in another shifted view of
    every image. Both views are of the same whole image and share its layout, which may be all that is found.

    Args:
        images: uint8 (B, S, S, 3), without jitter.
    """
    shift = ShiftedPatchify(encoder.patch_size, seed=seed)
    views = [_unit(encoder, shift(images, training=True)) for _ in range(2)]
    similarity = np.einsum("bnd,cnd->nbc", *views)
    return float(np.mean(similarity.argmax(axis=-1) == np.arange(len(images))))


def _mean(values):
    return float(np.mean(values)) if values else None


def _unit(encoder, patches):
    # A few images at a time: attention over all of them would fill the memory.
    tokens = [ops.convert_to_numpy(encoder.encode(patches[i : i + 32])) for i in range(0, len(patches), 32)]
    tokens = np.concatenate(tokens).astype("float32")
    return tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
