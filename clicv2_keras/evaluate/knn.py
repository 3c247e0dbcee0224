import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NEIGHBORS = (5, 10, 20, 40)


def fit_knn(features, known):
    """The mean of the nearest neighbours' scores in standardised features, their number by cross-validation on the
    part given here alone.

    Args:
        features: float (n, D), n at least 10.
        known: float (n,), what to predict.

    Returns:
        A fitted scikit-learn regressor.
    """
    numbers = [k for k in NEIGHBORS if k <= len(features) // 2]
    regressor = make_pipeline(StandardScaler(), KNeighborsRegressor(weights="distance"))
    search = GridSearchCV(regressor, {"kneighborsregressor__n_neighbors": numbers or [1]}, cv=5)
    return search.fit(np.asarray(features, "float32"), known)
