"""From features to scores: regressions whose settings are chosen on the images that they are fitted to alone."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALPHAS = np.logspace(-2, 6, 17)
# Times this, an intercept is as good as free of the penalty, which its weight escapes.
FREE = 1e4
NEIGHBORS = (5, 10, 20, 40)


class CategoryRidge:
    """The one linear read-out through which every kind of features is compared: ridge regression on standardised
    features, its strength by leave-one-out on the part that it is fitted to alone.

    Scores that were ranked within categories have no common zero: all categories share the weights, and each has an
    intercept, which is not penalised. That is centring within categories, but left-one-out scores do not leak through
    the centres. A category that was not seen takes the mean of the others' intercepts.

    Attributes:
        scale: (D,) what the features were divided by: their deviation within the categories.
        coef: (D,) weights of the scaled features.
        alpha: the chosen strength.
        intercepts: by category, of the unscaled features.
    """

    def fit(self, features, known, categories=None):
        """Fit to features (n, D), scores (n,) and categories (n,), by default one; returns itself."""
        names, group = np.unique(_groups(features, categories), return_inverse=True)
        dummies = np.eye(len(names))[group]
        centers = (dummies.T @ features) / dummies.sum(axis=0)[:, None]
        deviation = (features - centers[group]).std(axis=0)
        # What does not move has a deviation of rounding.
        self.scale = np.where(deviation > 1e-9 * np.abs(features).max(axis=0), deviation, 1.0)
        center, level = features.mean(axis=0), known.mean()
        scaled = np.hstack([(features - center) / self.scale, FREE * dummies])
        ridge = RidgeCV(ALPHAS, fit_intercept=False).fit(scaled, known - level)
        self.coef, self.alpha = ridge.coef_[: len(self.scale)], float(ridge.alpha_)
        shift = level - center / self.scale @ self.coef
        self.intercepts = dict(zip(names.tolist(), FREE * ridge.coef_[len(self.scale) :] + shift, strict=True))
        return self

    def predict(self, features, categories=None):
        """Scores (m,) of features (m, D) of images of categories (m,)."""
        unseen = np.mean(list(self.intercepts.values()))
        levels = [self.intercepts.get(name, unseen) for name in _groups(features, categories).tolist()]
        return features / self.scale @ self.coef + levels


class CategoryNeighbors:
    """The mean of the nearest neighbours' scores in standardised features, their number by cross-validation on the part
    that it is fitted to alone.

    Where there are categories, features and scores are compared with their category's mean there.
    """

    def fit(self, features, known, categories):
        """Fit to features (n, D), n at least 10, scores (n,) and categories (n,); returns itself."""
        names = np.unique(categories)
        self.centers = {name: features[categories == name].mean(axis=0) for name in names}
        self.levels = {name: known[categories == name].mean() for name in names}
        numbers = [k for k in NEIGHBORS if k <= len(features) // 2]
        neighbors = make_pipeline(StandardScaler(), KNeighborsRegressor(weights="distance"))
        search = GridSearchCV(
            neighbors, {"kneighborsregressor__n_neighbors": numbers}, cv=KFold(5, shuffle=True, random_state=0)
        )
        self.search = search.fit(*(self._centered(features, categories), known - _of(self.levels, categories)))
        return self

    def predict(self, features, categories):
        """Scores (m,) of features (m, D) of images of categories (m,)."""
        return self.search.predict(self._centered(features, categories)) + _of(self.levels, categories)

    def _centered(self, features, categories):
        return (features - _of(self.centers, categories)).astype("float32")


def _groups(features, categories):
    return np.zeros(len(features), int) if categories is None else np.asarray(categories)


def _of(means, categories):
    """Each image's category's mean; a category that was not seen takes the mean of the others."""
    unseen = np.mean(list(means.values()), axis=0)
    return np.stack([means.get(name, unseen) for name in categories])
