"""Which images of a labelled set are fitted on, which are judged, and which a choice between models may rest on."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from clicv2_keras.evaluation.agreement import FEWEST, unjudged
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints

FEWEST_TRAIN = 10


@dataclass
class Split:
    """Which images of a labelled set regressions are fitted to, and which they are judged on.

    `folds` are pairs of index arrays (train, test); each test image is in one fold. `scores` and `categories` (n,) are
    those of the set; `within` says that weights are shared between categories and intercepts are not.

    Where there are several folds, their regressions are brought to one level: each is shifted so that over all test
    images of a group it has the mean that they have together. Else the level of each falls where the labels that were
    kept from it are high, and predictions of nothing would correlate with labels, by -.3 among 40 images.
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
        """Predictions (m,) for the test images, of a regression fitted on each fold's training part.

        Args:
            kind: makes the regression, such as `CategoryRidge`.
            features: (n, F).
        """
        groups, asked = self.categories if self.within else np.zeros(len(self.scores)), self.test

        def of_fold(train):
            regression = kind().fit(features[train], self.scores[train], groups[train])
            return regression.predict(features[asked], groups[asked])

        return self._on_one_level(of_fold, groups[asked])

    def predict_by_category(self, predict):
        """Predictions (m,) for the test images, a category at a time.

        Args:
            predict: called with the numbers of a fold's training images, of those of a category among them, and of the
                category's test images of all folds; gives predictions of the last.
        """
        categories = self.categories[self.test]

        def of_fold(train):
            out = np.empty(len(categories))
            for name in np.unique(categories):
                mine, asked = train[self.categories[train] == name], self.test[categories == name]
                out[categories == name] = predict(train, mine, asked)
            return out

        return self._on_one_level(of_fold, categories)

    def _on_one_level(self, of_fold, groups):
        """Predictions (m,) of the test images, each by the fold that it is a test image of; groups are theirs."""
        found = np.stack([of_fold(train) for train, _ in self.folds])
        for name in np.unique(groups):
            level = found[:, groups == name].mean(axis=1, keepdims=True)
            found[:, groups == name] += level.mean() - level
        out = np.empty(len(self.scores))
        for row, (_, test) in zip(found, self.folds, strict=True):
            out[test] = row[np.searchsorted(self.test, test)]
        return out[self.test]

    def without_alike(self, fingerprints):
        """The same without the training images that look like a test image of their fold, and a sentence on them, or
        None where there are none. Where too few would be left they stay, and the sentence says so.

        Args:
            fingerprints: uint8 (n, 194), of the images; see `Fingerprints`.
        """
        folds, alike = [], set()
        for train, test in self.folds:
            is_alike = Fingerprints(fingerprints[test]).known(fingerprints[train])
            alike |= set(train[is_alike].tolist())
            folds.append((train[~is_alike], test))
        if not alike:
            return self, None
        found = "1 image to fit on is" if len(alike) == 1 else f"{len(alike)} images to fit on are"
        if min(len(train) for train, _ in folds) < FEWEST_TRAIN:
            return self, f"{found} alike one that is judged: without, too few were left; regressions look too good"
        return replace(self, folds=folds), f"{found} alike one that is judged, and left out"


def make_folds(data, test_split=None, seed=0):
    """Which images to fit on and which to judge on: pairs of index arrays, and a sentence that says so.

    Where the data set names a `train` part, that is fitted on, and `test_split` judged: by default `test`, or `val`
    where there is no `test`. Where it names none: 5-fold cross-validation within the categories.

    Raises:
        UserError: where the data set has no such part, or too few images, or labels that nothing can agree with.
    """
    folds, sentence = _find_folds(data, test_split, seed)
    _check_judgeable(data, np.concatenate([test for _, test in folds]))
    return folds, sentence


def _find_folds(data, test_split, seed):
    parts = sorted(set(data.splits) - {""})
    if "train" not in parts:
        if test_split not in (None, "all"):
            there = f"it has {', '.join(parts)}" if parts else "it has none"
            raise UserError(f"{data.name}: split {test_split!r} needs a part named train beside it; {there}")
        return _cross_validation(data, seed)
    others = [part for part in parts if part != "train"]
    chosen = test_split or next((part for part in ("test", "val") if part in others), others[0] if others else None)
    if chosen not in others:
        raise UserError(f"{data.name}: there is no part {chosen!r} to judge on; there are {', '.join(parts)}")
    train, test = (np.flatnonzero(data.splits == part) for part in ("train", chosen))
    if len(train) < FEWEST_TRAIN or len(test) < FEWEST:
        raise UserError(
            f"{data.name}: {len(train)} images in train and {len(test)} in {chosen} are too few to judge by"
        )
    return [(train, test)], f"regressions fitted on train ({len(train)} images), judged on {chosen} ({len(test)})"


def selection_split(data, split=None):
    """The part of a labelled set that a choice between models may rest on: never the one that the chosen is judged by.

    Args:
        data: `ScoredImages`.
        split: the part to judge on, beside `train`, which is fitted on. None: `val`, where there is a `test` for the
            chosen; else 5-fold cross-validation within `train`, or within all but `test` where no part is named
            `train`.

    Returns:
        `ScoredImages`, and what `make_folds` takes as its `test_split`.

    Raises:
        UserError: where the split is `test`, or there is no such part, or too few images.
    """
    if split == "test":
        raise UserError(f"{data.name}: what is chosen by test cannot be judged by it any more; take another split")
    parts = set(data.splits)
    if "train" not in parts:
        chosen = data.subset(data.splits != "test")
    elif split or {"val", "test"} <= parts:
        split = split or "val"
        chosen = data.subset(np.isin(data.splits, ("train", split)))
    else:
        chosen = data.subset(data.splits == "train")
        chosen = replace(chosen, splits=np.full(len(chosen), ""))
    make_folds(chosen, split)  # a mistake is better told before the work
    return chosen, split


def _check_judgeable(data, test):
    """See that the labels of the images of these numbers are not all equal, and some category can be judged."""
    scores, categories = data.scores[test], data.categories[test]
    if np.ptp(scores) == 0:
        raise UserError(f"{data.name}: all labels that are judged on are {scores[0]:g}: nothing to agree with")
    if data.ranked_within_category and set(unjudged(scores, categories)) == set(categories):
        raise UserError(
            f"{data.name}: no category has {FEWEST} images to be judged on, of labels that differ, and scores of "
            "different ones cannot be compared"
        )


def _cross_validation(data, seed):
    if len(data) < 15:
        raise UserError(f"{data.name}: {len(data)} images are too few to judge by; give at least 15")
    _, counts = np.unique(data.categories, return_counts=True)
    folds = StratifiedKFold if counts.min() >= 5 else KFold
    pairs = list(folds(5, shuffle=True, random_state=seed).split(data.scores, data.categories))
    return pairs, f"no train part is named: 5-fold cross-validation over all {len(data)} images"
