"""The weights of a `LinearHead`: penalised least squares through the bound, and exact, whatever the backend."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from clicv2_keras.evaluate.category_ridge import CategoryRidge


class HeadWeights(NamedTuple):
    """`kernel` (F,) and an intercept a category, by name."""

    kernel: np.ndarray
    intercepts: dict


def fit_head(features, scores, categories):
    """Fit mean_i σ(w·f_i + b_c) to scores by least squares.

    A ridge on the patches' mean features chooses the penalty, by leave-one-out, and gives the start; the penalty then
    holds for the weights in the units of scores, as in the ridge.

    Args:
        features: float32 (n, N, F), of N patches an image.
        scores: float (n,) in [0, 1].
        categories: (n,); all equal for one intercept.

    Returns:
        `HeadWeights`.
    """
    pooled = features.mean(axis=1, dtype="float64")
    ridge = CategoryRidge().fit(pooled, scores, categories)
    names, group = np.unique(categories, return_inverse=True)
    means = np.array([scores[group == g].mean() for g in range(len(names))]).clip(0.01, 0.99)
    slope = np.mean(means * (1 - means))
    scale = ridge.scale * slope

    centers = np.stack([pooled[group == g].mean(axis=0) for g in range(len(names))])
    start = np.concatenate([ridge.coef, logit(means) - centers / scale @ ridge.coef])
    count = features.shape[2]

    def objective(weights):
        kernel = weights[:count]
        patch = expit(features @ (kernel / scale).astype("float32") + weights[count:][group][:, None])
        error = patch.mean(axis=1) - scores
        # d score / d logit of each patch, times the error.
        pull = (2 * error[:, None] * patch * (1 - patch) / patch.shape[1]).astype("float32")
        gradient = np.einsum("np,npf->f", pull, features, optimize=True) / scale + 2 * ridge.alpha * kernel
        intercepts = np.bincount(group, pull.sum(axis=1), minlength=len(names))
        value = np.sum(error**2) + ridge.alpha * np.sum(kernel**2)
        return value, np.concatenate([gradient, intercepts]).astype("float64")

    best = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return HeadWeights(best[:count] / scale, dict(zip(names, best[count:], strict=True)))
