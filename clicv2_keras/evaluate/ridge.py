"""The one linear read-out through which every kind of features is compared."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALPHAS = np.logspace(-2, 6, 17)


def fit_ridge(features, known):
    """Ridge regression on standardised features, its strength by leave-one-out on the part given here alone.

    Args:
        features: float (n, D).
        known: float (n,), what to predict.

    Returns:
        A fitted scikit-learn regressor; `predict` takes features (m, D) and returns (m,).
    """
    return make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(features, known)
