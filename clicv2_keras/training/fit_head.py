"""The weights of a `LinearHead`: penalised least squares through the bound, and exact, whatever the backend."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from clicv2_keras.evaluation.regressions import CategoryRidge


class HeadWeights(NamedTuple):
    """`kernel` (F,), an intercept a category, by name, and `bias`: the one for images of no category."""

    kernel: np.ndarray
    intercepts: dict
    bias: float


# What the anchors count together, as a share of all images.
ANCHOR_SHARE = 1 / 10


def fit_head(features, scores, categories, changes=None, steadiness=0.0, anchors=None, common=()):
    """Fit mean_i σ(w·f_i + b_c) to scores by least squares.

    A ridge on the patches' mean features chooses the penalty, by leave-one-out, and gives the start; the penalty then
    holds for the weights in the units of scores, as in the ridge.

    Args:
        features: float32 (n, N, F), of N patches an image.
        scores: float (n,) in [0, 1].
        categories: (n,); all equal for one intercept.
        changes: float (m, F), by what changes that should not matter moved the mean features of images.
        steadiness: what their mean square counts in the score, against the fit's mean square error.
        anchors: features (k, N, F) and scores (k,) of pictures of no category: the bias is theirs.
        common: categories whose scale is that of all images: the mean of their intercepts is the bias. None: of all.

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
    shares = np.isin(names, list(common)) if len(common) else np.ones(len(names), bool)
    shares = shares / shares.sum()

    # Everything that is quadratic in the weights, in the units of scores.
    penalty = ridge.alpha * np.eye(count)
    if changes is not None:
        moved = changes / ridge.scale
        penalty += steadiness * len(scores) / len(moved) * moved.T @ moved

    def misfit(weights, features, intercepts, scores):
        """The sum of squared errors, and its slopes by the weights and by each image's intercept."""
        patch = expit(features @ (weights / scale).astype("float32") + intercepts[:, None])
        error = patch.mean(axis=1) - scores
        # d score / d logit of each patch, times the error.
        pull = (2 * error[:, None] * patch * (1 - patch) / patch.shape[1]).astype("float32")
        return np.sum(error**2), np.einsum("np,npf->f", pull, features, optimize=True) / scale, pull.sum(axis=1)

    def objective(weights):
        kernel, intercepts = weights[:count], weights[count:]
        value, gradient, pull = misfit(kernel, features, intercepts[group], scores)
        value += kernel @ penalty @ kernel
        gradient = gradient + 2 * penalty @ kernel
        pull = np.bincount(group, pull, minlength=len(names))
        if anchors is not None:
            extra, known = anchors
            share = ANCHOR_SHARE * len(scores) / len(known)
            extra_value, slope, lift = misfit(kernel, extra, np.full(len(known), shares @ intercepts), known)
            value += share * extra_value
            gradient = gradient + share * slope
            pull = pull + share * lift.sum() * shares
        return value, np.concatenate([gradient, pull]).astype("float64")

    best = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    intercepts = best[count:]
    return HeadWeights(best[:count] / scale, dict(zip(names, intercepts, strict=True)), float(shares @ intercepts))
