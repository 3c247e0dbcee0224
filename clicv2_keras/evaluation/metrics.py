"""Agreement of predictions with known values, over the last axis of arrays of any shape.

RMSE and RMAE (the paper's: the root of the mean absolute error) are in the units of the values. A correlation with a
constant is NaN.
"""

import numpy as np
from scipy import stats


def pcc(predicted, known):
    """Pearson's correlation coefficient, -1 to 1."""
    x, y = (np.asarray(v, "float64") for v in (predicted, known))
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    norms = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    # What a mean leaves of a constant is rounding, no spread.
    constant = (np.ptp(predicted, axis=-1) == 0) | (np.ptp(known, axis=-1) == 0)
    return np.where(constant, np.nan, (x * y).sum(axis=-1) / np.where(constant, 1, norms))[()]


def srcc(predicted, known):
    """Spearman's rank correlation coefficient, -1 to 1; ties share their mean rank."""
    return pcc(stats.rankdata(predicted, axis=-1), stats.rankdata(known, axis=-1))


def rmse(predicted, known):
    """Root of the mean squared error."""
    return np.sqrt(np.mean(np.square(np.subtract(predicted, known)), axis=-1))


def rmae(predicted, known):
    """Root of the mean absolute error, as the paper and its predecessors report it."""
    return np.sqrt(np.mean(np.abs(np.subtract(predicted, known)), axis=-1))


def krcc(predicted, known, counts=None):
    """Kendall's rank correlation coefficient τ_b, -1 to 1, of two vectors (n,).

    Args:
        counts: optional (R, n): how often each pair of values counts in each of R resamples; then τ_b is (R,).
    """
    x, y = np.asarray(predicted, "float64"), np.asarray(known, "float64")
    counts = np.ones((1, len(x))) if counts is None else np.asarray(counts, "float64")
    concordant = ties_x = ties_y = 0.0
    # All pairs, a block of rows at a time, so that memory stays flat.
    for start in range(0, len(x), 1000):
        rows = slice(start, start + 1000)
        sign_x, sign_y = (np.sign(v[rows, None] - v[None, :]) for v in (x, y))
        concordant += ((counts[:, rows] @ (sign_x * sign_y)) * counts).sum(axis=-1)
        ties_x += ((counts[:, rows] @ np.abs(sign_x)) * counts).sum(axis=-1)
        ties_y += ((counts[:, rows] @ np.abs(sign_y)) * counts).sum(axis=-1)
    pairs = np.sqrt(ties_x * ties_y)
    tau = np.where(pairs > 0, concordant / np.where(pairs > 0, pairs, 1), np.nan)
    return tau if len(tau) > 1 else tau[0]


METRICS = {"PCC": pcc, "SRCC": srcc, "KRCC": krcc, "RMSE": rmse, "RMAE": rmae}
