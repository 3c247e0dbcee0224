"""From what was measured to predictions: each as it is, or through a regression on the training part alone."""

from dataclasses import dataclass, replace

import numpy as np

from clicv2_keras.evaluation import measure
from clicv2_keras.evaluation.category_neighbors import CategoryNeighbors
from clicv2_keras.evaluation.category_ridge import CategoryRidge
from clicv2_keras.layers.patch_read_out import PARTS

MODEL, UNTRAINED, NO_MODEL = "this model", "the same, untrained", "no model"
RIDGE = "ridge on tokens, their deviation and diversity"
RIDGE_MEAN = "ridge on the mean token"


@dataclass
class Prediction:
    """What one predictor says of the test images: `values` (n,), or (S, n) of S random initialisations, whose figures
    are averaged; `calibrated` where they are in the labels' units.

    `left_out` bool (n,) are the images to whose labels the model was fitted: their values are NaN. None is none.
    """

    name: str
    group: str
    values: np.ndarray
    calibrated: bool
    left_out: np.ndarray | None = None

    def __post_init__(self):
        if self.left_out is None:
            self.left_out = np.zeros(np.shape(self.values)[-1], bool)
        self.values = np.where(self.left_out, np.nan, self.values)


@dataclass
class Split:
    """Which images regressions are fitted to, and which they are judged on.

    `folds` are pairs of index arrays (train, test); each test image is in one fold. `within` says that weights are
    shared between categories and intercepts are not.
    """

    folds: list
    scores: np.ndarray
    categories: np.ndarray
    within: bool

    @property
    def test(self):
        """The test images of all folds, ascending."""
        return np.sort(np.concatenate([test for _, test in self.folds]))

    def predict(self, kind, features):
        """Predictions (m,) for the test images, of a regression fitted on each fold's training part."""
        groups = self.categories if self.within else np.zeros(len(self.scores))
        out = np.full(len(self.scores), np.nan)
        for train, test in self.folds:
            regression = kind().fit(features[train], self.scores[train], groups[train])
            out[test] = regression.predict(features[test], groups[test])
        return out[self.test]


def predictions(measures, split, known):
    """All `Prediction`s for the test images, the model's first; without what the model knows of the `KnownImages`."""
    found = [
        replace(p, left_out=(known.score if p.name == measure.FITTED else known.features)[split.test])
        for p in _of_encoder(measures.model, MODEL, split)
    ]
    if measures.untrained:
        runs = [_of_encoder(measured, UNTRAINED, split) for measured in measures.untrained]
        found += [replace(same[0], values=np.stack([p.values for p in same])) for same in zip(*runs, strict=True)]
    if measures.pixels:
        found += _of_pixels(measures.pixels, split)
    if len(set(split.categories)) > 1:
        found.append(Prediction("category mean", NO_MODEL, _category_mean(split), True))
    return found


def _of_encoder(measured, group, split):
    found = [
        Prediction(name, group, measured[name][split.test], name == measure.FITTED)
        for name in (measure.FITTED, measure.DIVERSITY, measure.MASKED_ENTROPY)
        if name in measured
    ]
    features = np.concatenate([measured[part] for part in PARTS], axis=1)
    found.append(Prediction(RIDGE, group, split.predict(CategoryRidge, features), True))
    found.append(Prediction(RIDGE_MEAN, group, split.predict(CategoryRidge, measured["token"]), True))
    if group == MODEL:
        if split.within:
            found.append(Prediction(f"{RIDGE}, one a category", group, _ridge_a_category(features, split), True))
        neighbors = split.predict(CategoryNeighbors, features)
        found.append(Prediction("nearest neighbours by the same features", group, neighbors, True))
    return found


def _of_pixels(measured, split):
    single = {name: values for name, values in measured.items() if values.ndim == 1}
    alone = [Prediction(name, NO_MODEL, values[split.test], False) for name, values in single.items()]
    measures = np.stack([values for name, values in single.items() if name != "mean patch entropy"], axis=1)
    entropies = split.predict(CategoryRidge, measured["patch entropy statistics"])
    return [
        Prediction("ridge on patch entropy statistics", NO_MODEL, entropies, True),
        Prediction("ridge on handcrafted measures", NO_MODEL, split.predict(CategoryRidge, measures), True),
        *alone,
    ]


def _ridge_a_category(features, split):
    out = np.full(len(split.scores), np.nan)
    for train, test in split.folds:
        for name in np.unique(split.categories[test]):
            mine, asked = train[split.categories[train] == name], test[split.categories[test] == name]
            # Too few for weights of their own: their mean, or the mean of all where there is none.
            known = split.scores[mine if len(mine) else train]
            enough = len(mine) > 4
            out[asked] = CategoryRidge().fit(features[mine], known).predict(features[asked]) if enough else known.mean()
    return out[split.test]


def _category_mean(split):
    out = np.full(len(split.scores), np.nan)
    for train, test in split.folds:
        for name in np.unique(split.categories[test]):
            mine = train[split.categories[train] == name]
            known = split.scores[mine if len(mine) else train]
            out[test[split.categories[test] == name]] = known.mean()
    return out[split.test]
