import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from clicv2_keras.evaluate.metrics import pcc
from clicv2_keras.evaluate.ridge import ALPHAS, fit_ridge
from clicv2_keras.evaluate.within_category import WithinCategory


def test_is_scikit_learns_ridge_at_the_best_strength_left_one_out(rng):
    features = rng.normal(size=(40, 6)) * [1, 2, 3, 4, 5, 6] + 7
    known = features @ rng.normal(size=6) + 8 * rng.normal(size=40)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    errors = [
        np.mean((cross_val_predict(Ridge(alpha), scaled, known, cv=LeaveOneOut()) - known) ** 2) for alpha in ALPHAS
    ]
    ridge = fit_ridge(features, known)
    assert ridge[-1].alpha_ == ALPHAS[np.argmin(errors)]
    assert ALPHAS[0] < ridge[-1].alpha_ < ALPHAS[-1]
    expected = Ridge(ridge[-1].alpha_).fit(scaled, known).predict(scaled)
    np.testing.assert_allclose(ridge.predict(features), expected, atol=1e-8)


def test_recovers_a_linear_target_whatever_the_units():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)) * 10.0 ** np.arange(-4, 4) + 5
    known = features @ (1 / 10.0 ** np.arange(-4, 4)) + 0.01 * rng.normal(size=300)
    ridge = fit_ridge(features[:200], known[:200])
    assert pcc(ridge.predict(features[200:]), known[200:]) > 0.999


def test_does_not_follow_noise():
    rng = np.random.default_rng(0)
    features, known = rng.normal(size=(120, 200)), rng.normal(size=120)
    ridge = fit_ridge(features[:60], known[:60])
    assert np.std(ridge.predict(features[60:])) < 0.5 * known.std()


def test_shared_weights_with_an_intercept_a_category_are_dummies(rng):
    """Least squares on features and one dummy a category is what centring within categories computes."""
    categories = np.array(["a", "b", "c"])[rng.integers(0, 3, 60)]
    level = np.select([categories == "a", categories == "b"], [5.0, -3.0], 0.0)
    features = rng.normal(size=(60, 4)) + level[:, None]
    known = features @ [1.0, -2.0, 0.5, 0.0] - 2 * level + 0.1 * rng.normal(size=60)
    found = WithinCategory(lambda x, y: LinearRegression(fit_intercept=False).fit(x, y))
    dummies = (categories[:, None] == ["a", "b", "c"]).astype(float)
    both = np.hstack([features, dummies])
    expected = LinearRegression(fit_intercept=False).fit(both, known).predict(both)
    np.testing.assert_allclose(found.fit(features, known, categories).predict(features, categories), expected)


def test_an_unseen_category_takes_the_mean_of_the_others():
    features, known = np.array([[0.0], [2.0], [10.0], [14.0]]), np.array([0.0, 1.0, 5.0, 7.0])
    categories = np.array(["a", "a", "b", "b"])
    found = WithinCategory(lambda x, y: LinearRegression().fit(x, y)).fit(features, known, categories)
    assert found.predict(np.array([[6.5]]), np.array(["new"])) == pytest.approx([(0.5 + 6) / 2])
