import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit

from clicv2_keras.finetune import fit_head as module
from clicv2_keras.finetune.fit_head import fit_head


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


def test_the_gradient_is_the_objectives(problem, monkeypatch):
    features, scores, categories, _ = problem
    seen = {}

    def spy(objective, start, **options):
        seen["objective"], seen["start"] = objective, start
        return type("Result", (), {"x": start})

    monkeypatch.setattr(module, "minimize", spy)
    fit_head(features.astype("float64"), scores, categories)
    point = seen["start"] + 0.1
    numeric = approx_fprime(point, lambda w: seen["objective"](w)[0], 1e-5)
    np.testing.assert_allclose(seen["objective"](point)[1], numeric, rtol=1e-2, atol=1e-2)
