import numpy as np


class WithinCategory:
    """A regression with one set of weights for all categories and an intercept a category.

    Scores that were ranked within categories have no common zero: features and scores are centred within each category
    of the training part before the fit, and a category's mean score is added again to what is predicted for it. A
    category that was not seen in training takes the mean over those that were.

    Args:
        fit: function of features (n, D) and scores (n,) to a fitted regressor.
    """

    def __init__(self, fit):
        self.fit_regressor = fit

    def fit(self, features, known, categories):
        """Fit to features (n, D), scores (n,) and categories (n,); returns itself."""
        names = np.unique(categories)
        self.features = {name: features[categories == name].mean(axis=0) for name in names}
        self.scores = {name: known[categories == name].mean() for name in names}
        centered = features - self._of(self.features, categories)
        self.regressor = self.fit_regressor(centered, known - self._of(self.scores, categories))
        return self

    def predict(self, features, categories):
        """Scores (m,) of features (m, D) of images of categories (m,)."""
        centered = features - self._of(self.features, categories)
        return self.regressor.predict(centered) + self._of(self.scores, categories)

    @staticmethod
    def _of(means, categories):
        unseen = np.mean(list(means.values()), axis=0)
        return np.stack([means.get(name, unseen) for name in categories])
