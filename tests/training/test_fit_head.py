import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit

from clicv2_keras.training import fit_head as module
from clicv2_keras.training.fit_head import fit_head


@pytest.fixture
def problem(rng):
    """Patches whose bounded numbers average to the score, in units from tiny to large; two categories, two levels."""
    features = rng.normal(size=(200, 9, 4)) * [1, 2, 0.01, 5] + rng.normal(size=(200, 1, 4)) * [1, 2, 0.01, 5]
    categories = np.array(["a", "b"] * 100)
    kernel = np.array([0.8, -0.3, 40, 0.0])
    intercepts = np.where(categories == "a", 0.5, -1.0)
    scores = expit(features @ kernel + intercepts[:, None]).mean(axis=1)
    return features.astype("float32"), scores, categories, kernel


def test_finds_the_weights_that_made_the_scores(problem):
    features, scores, categories, kernel = problem
    found = fit_head(features, scores, categories)
    np.testing.assert_allclose(found.kernel, kernel, atol=0.03, rtol=0.03)
    assert found.intercepts["a"] == pytest.approx(0.5, abs=0.05)
    assert found.intercepts["b"] == pytest.approx(-1, abs=0.05)


def test_noise_labels_give_a_nearly_constant_score(problem, rng):
    features, scores, categories, _ = problem
    found = fit_head(features, rng.permutation(scores), np.full(200, ""))
    predicted = expit(features @ found.kernel + found.intercepts[""]).mean(axis=1)
    assert predicted.std() < 0.5 * scores.std()


def test_what_moves_by_a_change_that_should_not_matter_counts_less(problem):
    features, scores, categories, _ = problem
    changes = np.array([[3.0, 0, 0, 0], [-2.0, 0, 0, 0]])
    free, steady = (fit_head(features, scores, categories, changes, steadiness).kernel for steadiness in (0.0, 100.0))
    assert abs(steady[0]) < 0.1 * abs(free[0])
    assert abs(steady[2]) > 0.5 * abs(free[2])


def test_pictures_that_nobody_disputes_keep_their_places(problem):
    features, scores, categories, _ = problem
    extra = np.stack([np.full((9, 4), 1e-3), features[0] + 1e-3]).astype("float32"), np.array([0.0, 1.0])

    def told(anchors):
        found = fit_head(features, scores, categories, anchors=anchors)
        return expit(extra[0] @ found.kernel + np.mean(list(found.intercepts.values()))).mean(axis=1)

    before, after = told(None), told(extra)
    assert after[0] < before[0] - 0.02 and after[1] > before[1] + 0.02


def test_the_gradient_is_the_objectives(problem, monkeypatch, rng):
    features, scores, categories, _ = problem
    seen = {}

    def spy(objective, start, **options):
        seen["objective"], seen["start"] = objective, start
        return type("Result", (), {"x": start})

    monkeypatch.setattr(module, "minimize", spy)
    extra = features[:5].astype("float64"), np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    fit_head(features.astype("float64"), scores, categories, rng.normal(size=(9, 4)), 2.0, extra)
    point = seen["start"] + 0.1
    numeric = approx_fprime(point, lambda w: seen["objective"](w)[0], 1e-5)
    np.testing.assert_allclose(seen["objective"](point)[1], numeric, rtol=1e-2, atol=1e-2)
