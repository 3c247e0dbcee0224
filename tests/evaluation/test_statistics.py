"""Against scipy, and by hand."""

import numpy as np
import pytest
from scipy import stats

from clicv2_keras.evaluation.statistics import METRICS, Bootstrap, interval, krcc, pcc, rmae, rmse, srcc

REFERENCES = {pcc: stats.pearsonr, srcc: stats.spearmanr, krcc: stats.kendalltau}


@pytest.mark.parametrize("metric", REFERENCES, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("ties", [False, True])
def test_correlations_are_scipys(rng, metric, ties):
    x, y = rng.normal(size=(2, 60))
    y += x
    if ties:
        x, y = x.round(), y.round()
    assert metric(x, y) == pytest.approx(REFERENCES[metric](x, y).statistic, abs=1e-12)


def test_by_hand():
    known = np.array([0.0, 0.2, 0.4, 1.0])
    predicted = np.array([0.1, 0.3, 0.2, 0.6])  # ranks 1 3 2 4: one of six pairs the wrong way round
    assert rmse(predicted, known) == pytest.approx(np.sqrt((0.01 + 0.01 + 0.04 + 0.16) / 4))
    assert rmae(predicted, known) == pytest.approx(np.sqrt((0.1 + 0.1 + 0.2 + 0.4) / 4))
    assert srcc(predicted, known) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert krcc(predicted, known) == pytest.approx((5 - 1) / 6)
    assert pcc(known, 3 - 2 * known) == pytest.approx(-1)


@pytest.mark.parametrize("metric", [pcc, srcc, krcc], ids=lambda metric: metric.__name__)
def test_a_constant_correlates_with_nothing(metric):
    assert np.isnan(metric(np.full(5, 0.1), np.arange(5)))
    assert np.isnan(metric(np.arange(5), np.full(5, 0.3)))


@pytest.mark.parametrize("name", METRICS)
def test_resamples_are_those_of_a_plain_loop(rng, name):
    known = rng.random(30)
    predicted = (known + rng.normal(0, 0.2, 30)).round(1)
    categories = np.array(["a", "b", "b"] * 10)
    bootstrap = Bootstrap(categories, resamples=20, seed=1)
    for index in (np.arange(30), np.flatnonzero(categories == "b")):
        drawn = [d for c, d in bootstrap.drawn.items() if c == "b" or len(index) == 30]
        rows = np.concatenate(drawn, axis=1)
        plain = [float(METRICS[name](predicted[row], known[row])) for row in rows]
        np.testing.assert_allclose(bootstrap.statistics(predicted, known, index, name), plain, atol=1e-6)


def test_resamples_stay_within_their_category():
    categories = np.array(["a"] * 3 + ["b"] * 50)
    drawn = Bootstrap(categories, resamples=100).drawn
    assert drawn["a"].shape == (100, 3) and drawn["a"].max() < 3
    assert drawn["b"].shape == (100, 50) and drawn["b"].min() >= 3


def test_categories_of_an_image_each_leave_an_interval(rng):
    """Drawn within each, every resample would be the set itself."""
    known = rng.random(60)
    predicted = known + rng.normal(0, 0.5, 60)
    widths = []
    for categories in (np.zeros(60), np.arange(60), np.arange(60) // 2):
        samples = Bootstrap(categories, 500).statistics(predicted, known, np.arange(60), "SRCC")
        low, high = interval(samples)
        widths.append(high - low)
    assert min(widths) > 0.8 * max(widths)


def test_the_interval_covers_the_truth_as_often_as_it_says(rng):
    covered = 0
    for seed in range(150):
        x = rng.normal(size=50)
        y = 0.6 * x + 0.8 * rng.normal(size=50)
        samples = Bootstrap(np.zeros(50), 200, seed).statistics(x, y, np.arange(50), "PCC")
        low, high = interval(samples)
        covered += low < 0.6 < high
    assert 0.86 <= covered / 150 <= 0.99
