import numpy as np

from clicv2_keras.evaluate.metrics import pcc
from clicv2_keras.evaluate.ridge import fit_ridge


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
