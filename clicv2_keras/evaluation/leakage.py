"""How much of what images show, rather than how complex they are, the features give away."""

import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2_keras.layers import ShiftedPatchify

RETRIEVED = 128


def fit_classifier(features, labels):
    """A linear classifier on standardised features (n, D) of labels (n,): the usual linear probe."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)


def category_accuracy(features, categories, seed=0):
    """How often a linear probe names the category of an unseen image, in 5-fold cross-validation: 0 to 1.

    Returns None where a category has fewer than 5 images, or there is one alone.
    """
    names, counts = np.unique(categories, return_counts=True)
    if len(names) < 2 or counts.min() < 5:
        return None
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(np.mean(cross_val_predict(probe, features, categories, cv=folds) == categories))


def token_retrieval(encoder, images, seed=0):
    """How often a token finds the other shifted view of its own image, by cosine: 0 to 1; by chance 1 / B.

    As in training: a token of a shifted view asks, the tokens at its position in another shifted view of every image
    answer. Both views are of the same whole image and share its layout, which may be all that is found.

    Args:
        images: uint8 (B, S, S, 3), without jitter.
    """
    shift = ShiftedPatchify(encoder.patch_size, seed=seed)
    views = [_unit(encoder, shift(images, training=True)) for _ in range(2)]
    similarity = np.einsum("bnd,cnd->nbc", *views)
    return float(np.mean(similarity.argmax(axis=-1) == np.arange(len(images))))


def _unit(encoder, patches):
    # A few images at a time: attention over all of them would fill the memory.
    tokens = [ops.convert_to_numpy(encoder.encode(patches[i : i + 32])) for i in range(0, len(patches), 32)]
    tokens = np.concatenate(tokens).astype("float32")
    return tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
