"""From features to predictions: each as it is, or through a regression on the training part alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clicv2_keras.evaluation.handcrafted import HANDCRAFTED
from clicv2_keras.evaluation.regressions import CategoryNeighbors, CategoryRidge

MODEL, UNTRAINED, NO_MODEL, OTHER = "model", "untrained", "no_model", "other"


@dataclass
class Prediction:
    """What one predictor says of the test images: `values` (n,), or (S, n) of S random initialisations, whose figures
    are averaged; `calibrated` where they are in the labels' units. `predictor` is a key of `PREDICTORS`, of the group
    `OTHER` words.

    `left_out` bool (n,) are the images to whose labels the model was fitted: their values are NaN. None is none.
    """

    predictor: str
    group: str
    values: np.ndarray
    calibrated: bool
    left_out: np.ndarray | None = None

    def __post_init__(self):
        if self.left_out is None:
            self.left_out = np.zeros(np.shape(self.values)[-1], bool)
        self.values = np.where(self.left_out, np.nan, self.values)


class Predictor(NamedTuple):
    """`predict(read, split)` gives predictions (m,) for the test images of a `Split`, or None where it has nothing to
    say; `read` are the `ReadOuts` of an encoder, or for the group `NO_MODEL` the numbers that pixels give, by name."""

    groups: tuple
    calibrated: bool
    predict: Callable


def predict(predictors, features, split, known, label_range, score_range):
    """The `Prediction`s of the predictors named, for the test images of a `Split`, the model's first.

    Args:
        predictors: keys of `PREDICTORS`, in any order.
        features: `Features`.
        split: `Split` of the same images.
        known: the `KnownImages` of the model: no prediction of these.
        label_range: lowest and highest label that the model's score was fitted to, or None.
        score_range: the lowest and highest possible label of the images.
    """
    asked = {key: predictor for key, predictor in PREDICTORS.items() if key in predictors}
    sources = {MODEL: [features.model], UNTRAINED: features.untrained, NO_MODEL: [features.pixels]}
    found = []
    for group, reads in sources.items():
        for key, predictor in asked.items():
            if group not in predictor.groups:
                continue
            values = [predictor.predict(read, split) for read in reads]
            if not values or values[0] is None:
                continue
            left_out = None
            if group == MODEL:
                left_out = (known.score if key == "fitted" else known.features)[split.test]
            values = np.stack(values) if group == UNTRAINED else values[0]
            if key == "fitted" and is_on_another_range(label_range, score_range):
                (own_low, own_high), (low, high) = label_range, score_range
                values = (own_low + values * (own_high - own_low) - low) / (high - low)
            found.append(Prediction(key, group, values, predictor.calibrated, left_out))
    return found


def is_on_another_range(label_range, score_range):
    """Whether a score that was fitted to labels of a range has to be brought to another's.

    [0, 1] is the range of labels of several scales, each brought to it by its own ends, and fits any.
    """
    return label_range not in (None, (0, 1), score_range) and score_range != (0, 1)


def pixels_of(predictors):
    """What of the pixels the predictors need; see `FeatureExtractor`."""
    needed = {"entropy": ENTROPIES, "handcrafted": ("handcrafted_ridge", *HANDCRAFTED)}
    return tuple(kind for kind, keys in needed.items() if set(keys) & set(predictors))


def _score(name):
    return lambda read, split: read.scores[name][split.test] if name in read.scores else None


def _number(name):
    return lambda pixels, split: pixels[name][split.test]


def _ridge(read, split):
    return None if read.features is None else split.predict(CategoryRidge, read.features)


def _ridge_mean_token(read, split):
    return split.predict(CategoryRidge, read.parts["token"])


def _nearest_neighbors(read, split):
    return None if read.features is None else split.predict(CategoryNeighbors, read.features)


def _ridge_per_category(read, split):
    features = read.features
    if not split.within or features is None:
        return None

    def of_category(train, mine, asked):
        if len(mine) <= 4:  # too few for weights of their own
            shared = CategoryRidge().fit(features[train], split.scores[train], split.categories[train])
            return shared.predict(features[asked], split.categories[asked])
        return CategoryRidge().fit(features[mine], split.scores[mine]).predict(features[asked])

    return split.predict_by_category(of_category)


def _entropy_ridge(pixels, split):
    return split.predict(CategoryRidge, pixels["entropy_statistics"])


def _handcrafted_ridge(pixels, split):
    return split.predict(CategoryRidge, np.stack([pixels[name] for name in HANDCRAFTED], axis=1))


def _category_mean(pixels, split):
    if len(set(split.categories)) < 2:
        return None
    values, categories = split.predict_by_category(lambda *fold: _mean(split, *fold[:2])), split.categories[split.test]
    for name in np.unique(categories):
        # To the last digit: what is constant must not correlate by its rounding.
        values[categories == name] = values[categories == name].mean()
    return values


def _mean(split, train, mine):
    """The category's mean score, or that of all where the fold's training part has none of it."""
    return split.scores[mine if len(mine) else train].mean()


OF_MODEL = {
    "fitted": Predictor((MODEL,), True, _score("fitted")),
    "label_free": Predictor((MODEL,), False, _score("label_free")),
    "diversity": Predictor((MODEL, UNTRAINED), False, _score("diversity")),
    "masked_entropy": Predictor((MODEL,), False, _score("masked_entropy")),
    "ridge": Predictor((MODEL, UNTRAINED), True, _ridge),
    "ridge_mean_token": Predictor((MODEL, UNTRAINED), True, _ridge_mean_token),
    "ridge_per_category": Predictor((MODEL,), True, _ridge_per_category),
    "nearest_neighbors": Predictor((MODEL,), True, _nearest_neighbors),
}
OF_PIXELS = {
    "entropy_ridge": Predictor((NO_MODEL,), True, _entropy_ridge),
    "handcrafted_ridge": Predictor((NO_MODEL,), True, _handcrafted_ridge),
    **{key: Predictor((NO_MODEL,), False, _number(key)) for key in ("mean_entropy", *HANDCRAFTED)},
}
ENTROPIES = ("entropy_ridge", "mean_entropy")
# In the order of tables.
PREDICTORS = OF_MODEL | OF_PIXELS | {"category_mean": Predictor((NO_MODEL,), True, _category_mean)}
