"""Agreement of predictions with known values, and its bootstrap.

Metrics are over the last axis of arrays of any shape. RMSE and RMAE (the paper's: the root of the mean absolute error)
are in the units of the values. A correlation with a constant is NaN.
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


def krcc(predicted, known):
    """Kendall's rank correlation coefficient τ_b, -1 to 1, of two vectors (n,)."""
    return stats.kendalltau(predicted, known).statistic if len(known) > 1 else np.nan


def rmse(predicted, known):
    """Root of the mean squared error."""
    return np.sqrt(np.mean(np.square(np.subtract(predicted, known)), axis=-1))


def rmae(predicted, known):
    """Root of the mean absolute error, as the paper and its predecessors report it."""
    return np.sqrt(np.mean(np.abs(np.subtract(predicted, known)), axis=-1))


METRICS = {"PCC": pcc, "SRCC": srcc, "KRCC": krcc, "RMSE": rmse, "RMAE": rmae}
CORRELATIONS = ("PCC", "SRCC", "KRCC")


# Categories of fewer images are drawn together: each of one image alone would always be drawn as it is.
FEWEST_DRAWN = 10


class Bootstrap:
    """Resamples of a test set, drawn within each category; the same for every predictor, so that they pair.

    Those of all images take categories of fewer than `FEWEST_DRAWN` images as one.

    Args:
        categories: (n,) the category of each image; all equal where there are none.
        resamples: how many.
        seed: of the draws.
    """

    def __init__(self, categories, resamples=1000, seed=0):
        rng = np.random.default_rng(seed)
        self.members = {str(c): np.flatnonzero(categories == c) for c in np.unique(categories)}
        self.drawn = {c: _draw(rng, members, resamples) for c, members in self.members.items()}
        small = [members for members in self.members.values() if len(members) < FEWEST_DRAWN]
        whole = [drawn for drawn in self.drawn.values() if drawn.shape[1] >= FEWEST_DRAWN]
        whole += [_draw(rng, np.concatenate(small), resamples)] if small else []
        self.whole = np.concatenate(whole, axis=1)

    def statistics(self, predicted, known, index, metric):
        """The metric of the images `index` over all resamples: (R,), where `index` is a category's or all."""
        if len(index) == len(predicted):
            drawn = self.whole
        else:
            (drawn,) = (drawn for c, drawn in self.drawn.items() if self.members[c][0] in index)
        if metric != "KRCC":
            return METRICS[metric](predicted[drawn], known[drawn])
        counts = np.zeros((len(drawn), len(predicted)), "float32")
        np.add.at(counts, (np.arange(len(drawn))[:, None], drawn), 1)
        return _weighted_krcc(predicted[index], known[index], counts[:, index])


def _draw(rng, members, resamples):
    """Of image numbers (m,) as many with replacement, each time: (resamples, m)."""
    return members[rng.integers(0, len(members), (resamples, len(members)))]


def interval(samples):
    """The 95 % percentile interval (low, high) of bootstrap samples (R,); NaN where a sample is."""
    if np.isnan(samples).mean() > 0.05:  # a category of a few images may be constant in a rare resample
        return (np.nan, np.nan)
    return tuple(float(x) for x in np.nanpercentile(samples, [2.5, 97.5]))


def _weighted_krcc(predicted, known, counts):
    """Kendall's τ_b (R,) of two vectors (n,) whose entries count `counts` (R, n) times; SciPy has none of that kind."""
    x, y, counts = (np.asarray(v, "float64") for v in (predicted, known, counts))
    concordant = ties_x = ties_y = 0.0
    # All pairs, a block of rows at a time, so that memory stays flat.
    for start in range(0, len(x), 1000):
        rows = slice(start, start + 1000)
        sign_x, sign_y = (np.sign(v[rows, None] - v[None, :]) for v in (x, y))
        concordant += ((counts[:, rows] @ (sign_x * sign_y)) * counts).sum(axis=-1)
        ties_x += ((counts[:, rows] @ np.abs(sign_x)) * counts).sum(axis=-1)
        ties_y += ((counts[:, rows] @ np.abs(sign_y)) * counts).sum(axis=-1)
    pairs = np.sqrt(ties_x * ties_y)
    return np.where(pairs > 0, concordant / np.where(pairs > 0, pairs, 1), np.nan)
