"""What is fitted and what is judged: on one level over folds, and no picture on both sides."""

import numpy as np
import pytest

from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.data.sources import ProceduralSource
from clicv2_keras.evaluation.folds import Split, make_folds, selection_split
from clicv2_keras.evaluation.regressions import CategoryNeighbors, CategoryRidge
from clicv2_keras.evaluation.statistics import srcc


def labelled(scores, categories=None, splits=None, within=False):
    count = len(scores)
    return ScoredImages(
        name="drawn",
        source=ProceduralSource(count, 16),
        scores=np.asarray(scores, "float64"),
        score_range=(0.0, 1.0),
        categories=np.full(count, "") if categories is None else categories,
        splits=np.full(count, "") if splits is None else splits,
        ranked_within_category=within,
        notes=(),
    )


def split_of(data, seed=0):
    return Split(make_folds(data, seed=seed)[0], data.scores, data.categories, data.ranked_within_category)


@pytest.mark.parametrize("kind", [CategoryRidge, CategoryNeighbors])
@pytest.mark.parametrize("within", [False, True])
def test_features_of_nothing_do_not_correlate_over_folds(rng, kind, within):
    """As each fold's level falls where the labels kept from it are high, they would by -.2 to -.4."""
    found = []
    for seed in range(40):
        data = labelled(rng.random(40), np.repeat(["a", "b", "c", "d"], 10), within=within)
        predicted = split_of(data, seed).predict(kind, rng.normal(size=(40, 8)))
        groups = data.categories if within else np.zeros(40)
        found.append(np.mean([srcc(predicted[groups == name], data.scores[groups == name]) for name in set(groups)]))
    assert abs(np.mean(found)) < 4 * np.std(found) / 40**0.5 and abs(np.mean(found)) < 0.12


def test_within_a_fold_nothing_but_the_level_changes(rng):
    data, features = labelled(rng.random(60)), rng.normal(size=(60, 4))
    split = split_of(data)
    predicted = split.predict(CategoryRidge, features)
    for train, test in split.folds:
        alone = CategoryRidge().fit(features[train], data.scores[train]).predict(features[test])
        np.testing.assert_allclose(predicted[test] - alone, (predicted[test] - alone)[0], atol=1e-9)
    # One fold is as it is fitted.
    train, test = np.arange(40), np.arange(40, 60)
    one = Split([(train, test)], data.scores, data.categories, False).predict(CategoryRidge, features)
    np.testing.assert_allclose(
        one, CategoryRidge().fit(features[train], data.scores[train]).predict(features[test]), atol=1e-9
    )


def test_who_is_alike_a_judged_one_is_not_fitted_on(rng):
    codes = rng.integers(0, 256, (60, 194)).astype("uint8")
    codes[1], codes[50] = codes[40], codes[3]
    data = labelled(rng.random(60))
    train, test = np.arange(40), np.arange(40, 60)
    split, told = Split([(train, test)], data.scores, data.categories, False).without_alike(codes)
    assert told == "2 images to fit on are alike one that is judged, and left out"
    assert split.folds[0][0].tolist() == [0, 2, *range(4, 40)] and len(split.test) == 20
    codes[:40] = codes[np.tile(test, 2)]
    # A probe must not end a run for it.
    split, told = Split([(train, test)], data.scores, data.categories, False).without_alike(codes)
    assert told.startswith("40 images to fit on are alike one that is judged: without, too few were left")
    assert len(split.folds[0][0]) == 40


def test_what_is_chosen_by_val_needs_a_test(rng):
    scores = rng.random(40)
    both, alone = np.repeat(["train", "val", "test"], (20, 10, 10)), np.repeat(["train", "val"], (25, 15))
    chosen, split = selection_split(labelled(scores, splits=both))
    assert split == "val" and len(chosen) == 30
    # Else `evaluate` judges by val.
    chosen, split = selection_split(labelled(scores, splits=alone))
    assert split is None and set(chosen.splits) == {""} and len(chosen) == 25
    chosen, split = selection_split(labelled(scores, splits=alone), "val")
    assert split == "val" and len(chosen) == 40
