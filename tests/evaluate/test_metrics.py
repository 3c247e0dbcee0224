import numpy as np
import pytest

from clicv2_keras.evaluate.metrics import pcc, srcc


def test_pcc_is_the_covariance_over_the_deviations():
    a, b = np.random.default_rng(0).normal(size=(2, 50))
    reference = np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std())
    assert pcc(a, b) == pytest.approx(reference, abs=1e-12)


def test_srcc_is_the_pcc_of_the_ranks():
    a, b = np.random.default_rng(1).normal(size=(2, 50))
    assert srcc(a, b) == pytest.approx(pcc(a.argsort().argsort(), b.argsort().argsort()), abs=1e-12)
    assert srcc(a, np.exp(5 * a)) == pytest.approx(1)
