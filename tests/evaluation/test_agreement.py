"""How predictions are judged where categories are small, or have labels that cannot be agreed with."""

from dataclasses import replace

import numpy as np
import pytest

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.evaluation.agreement import Judge
from clicv2_keras.evaluation.evaluator import Evaluator
from clicv2_keras.evaluation.folds import Split
from clicv2_keras.evaluation.predictors import MODEL, PREDICTORS, Prediction
from clicv2_keras.evaluation.report.report import report_html
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.utils.errors import UserError


def prediction(values):
    return Prediction("fitted", MODEL, values, True, np.zeros(len(values), bool))


@pytest.mark.parametrize("pooled", [False, True])
def test_a_category_of_equal_labels_takes_no_part_in_the_mean(rng, pooled):
    known, values = rng.random(40), rng.random(40)
    categories = np.repeat(["a", "b", "equal", "few"], [15, 15, 8, 2])
    known[categories == "equal"] = 0.5
    found = Judge(known, categories, pooled, 100).agreement(prediction(values))
    expected = np.mean([srcc(values[categories == name], known[categories == name]) for name in "ab"])
    mean = found.rows["mean of categories"]["SRCC"]
    assert mean.value == pytest.approx(expected) and np.isfinite(mean.low)
    assert found.counts["mean of categories"] == 30
    assert ("equal" in found.rows) is pooled


def test_many_small_categories_have_an_interval_together(rng):
    """Of a category of five images one resample in 625 is a single image."""
    categories = np.repeat([f"c{i:02d}" for i in range(60)], 5)
    known = rng.random(300)
    values = known + 0.3 * rng.random(300)
    judge = Judge(known, categories, False, 1000)
    found = judge.agreement(prediction(values))
    low, high = found.headline["SRCC"].low, found.headline["SRCC"].high
    assert low < found.srcc < high and high - low < 0.3
    assert np.isfinite(found.above(judge.agreement(prediction(rng.random(300)))).low)


def test_the_report_tells_of_equal_labels_and_counts_what_is_averaged(tiny_encoder, ic9600):
    data = open_scored("ic9600", ic9600)
    one = sorted(set(data.categories))[0]
    scores = np.where(data.categories == one, 0.5, data.scores)
    ranked = replace(data, scores=scores, ranked_within_category=True)
    found = Evaluator(ranked, ("ridge", "diversity"), resamples=20).run(tiny_encoder)
    assert np.isfinite(found.main.srcc)
    assert any(note == f"labels that are all equal, and left out: {one}" for note in found.notes)
    averaged = len(set(found.data.categories)) - 1
    assert f"the mean of {averaged} categor" in report_html(found).lower()
    flat = replace(ranked, scores=np.where(data.categories == one, 0.5, 0.7))
    with pytest.raises(UserError, match="of labels that differ"):
        Evaluator(flat, ("ridge",)).run(tiny_encoder)


def test_too_few_images_for_a_ridge_of_their_own_take_the_shared_one(rng):
    features = rng.random((65, 3)).astype("float64")
    scores = features @ [0.5, 0.3, 0.2]
    categories = np.repeat(["large", "five"], [60, 5])
    folds = [(np.setdiff1d(np.arange(65), test), test) for test in np.array_split(rng.permutation(65), 5)]
    split = Split(folds, scores, categories, True)
    read = type("Read", (), {"features": features})
    found = PREDICTORS["ridge_per_category"].predict(read, split)
    five = categories[split.test] == "five"
    assert srcc(found[five], scores[split.test][five]) > 0.5
