import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from clicv2_keras.evaluation.regressions import ALPHAS, CategoryNeighbors, CategoryRidge
from clicv2_keras.evaluation.statistics import pcc


def test_is_scikit_learns_ridge_at_the_best_strength_left_one_out(rng):
    features = rng.normal(size=(40, 6)) * [1, 2, 3, 4, 5, 6] + 7
    known = features @ rng.normal(size=6) + 8 * rng.normal(size=40)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    errors = [
        np.mean((cross_val_predict(Ridge(alpha), scaled, known, cv=LeaveOneOut()) - known) ** 2) for alpha in ALPHAS
    ]
    ridge = CategoryRidge().fit(features, known)
    assert ridge.alpha == ALPHAS[np.argmin(errors)]
    assert ALPHAS[0] < ridge.alpha < ALPHAS[-1]
    expected = Ridge(ridge.alpha).fit(scaled, known).predict(scaled)
    np.testing.assert_allclose(ridge.predict(features), expected, atol=1e-5)


def test_recovers_a_linear_target_whatever_the_units():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)) * 10.0 ** np.arange(-4, 4) + 5
    known = features @ (1 / 10.0 ** np.arange(-4, 4)) + 0.01 * rng.normal(size=300)
    ridge = CategoryRidge().fit(features[:200], known[:200])
    assert pcc(ridge.predict(features[200:]), known[200:]) > 0.999


@pytest.mark.parametrize("categories", [None, np.repeat(["a", "b", "c"], 40)])
@pytest.mark.parametrize("count", [40, 400])
def test_does_not_follow_noise(categories, count):
    """Also not with more features than images, where centring within categories would tell a left-out score."""
    rng = np.random.default_rng(0)
    features, known = rng.normal(size=(240, count)), rng.normal(size=240)
    ridge = CategoryRidge().fit(features[:120], known[:120], categories)
    assert np.std(ridge.predict(features[120:], categories)) < 0.5
    assert ridge.alpha > 10


def test_intercepts_are_those_of_least_squares_with_dummies(rng):
    categories = np.array(["a", "b", "c"])[rng.integers(0, 3, 600)]
    level = np.select([categories == "a", categories == "b"], [5.0, -3.0], 0.0)
    features = rng.normal(size=(600, 4)) + level[:, None]
    known = features @ [1.0, -2.0, 0.5, 0.0] - 2 * level + 0.01 * rng.normal(size=600)
    dummies = (categories[:, None] == ["a", "b", "c"]).astype(float)
    expected = LinearRegression(fit_intercept=False).fit(np.hstack([features, dummies]), known).coef_
    ridge = CategoryRidge().fit(features, known, categories)
    np.testing.assert_allclose(ridge.coef / ridge.scale, expected[:4], atol=1e-3)
    np.testing.assert_allclose([ridge.intercepts[c] for c in "abc"], expected[4:], atol=1e-2)
    new = ridge.predict(features[:1], np.array(["new"]))
    assert new == pytest.approx(features[0] @ expected[:4] + expected[4:].mean(), abs=1e-2)


def test_neighbors_compare_within_categories(rng):
    """Images that lie near each other score alike, each category at a level of its own, in features as in scores."""
    categories = np.array(["a", "b"] * 100)
    position = rng.random((200, 1))
    known = position[:, 0] + np.where(categories == "a", 10, 0)
    features = position + np.where(categories == "a", 100, 0)[:, None]
    neighbors = CategoryNeighbors().fit(features[:150], known[:150], categories[:150])
    np.testing.assert_allclose(neighbors.predict(features[150:], categories[150:]), known[150:], atol=0.15)


def test_what_rounding_alone_moves_is_not_blown_up(rng):
    """A channel that is .1 in all that is fitted to, and .1 and a millionth in an image that is asked for."""
    features, categories = rng.normal(size=(70, 5)), np.repeat(list("abcdefg"), 10)
    features[:, 0] = 0.1
    ridge = CategoryRidge().fit(features, features[:, 1], categories)
    asked = features[:1] + [[1e-6, 0, 0, 0, 0]]
    assert abs(ridge.predict(asked, categories[:1]) - ridge.predict(features[:1], categories[:1])) < 1e-3


def test_neighbors_do_not_depend_on_the_order_of_rows(rng):
    features = rng.normal(size=(200, 6))
    known = features[:, 0] + rng.normal(size=200)
    order, categories = np.argsort(known), np.zeros(200)
    counts = []
    for rows in (np.arange(200), order):
        search = CategoryNeighbors().fit(features[rows], known[rows], categories).search
        folds = list(search.cv.split(features[rows]))
        counts.append(np.ptp([known[rows][test].mean() for _, test in folds]))
    assert counts[1] < 1  # in the order of their labels each fold would be of a fifth of the scale
