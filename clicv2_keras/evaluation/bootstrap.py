import numpy as np

from clicv2_keras.evaluation.metrics import METRICS, krcc


class Bootstrap:
    """Resamples of a test set, drawn within each category; the same for every predictor, so that they pair.

    Args:
        categories: (n,) the category of each image; all equal where there are none.
        resamples: how many.
        seed: of the draws.
    """

    def __init__(self, categories, resamples=1000, seed=0):
        rng = np.random.default_rng(seed)
        self.members = {str(c): np.flatnonzero(categories == c) for c in np.unique(categories)}
        self.drawn = {c: m[rng.integers(0, len(m), (resamples, len(m)))] for c, m in self.members.items()}

    def statistics(self, predicted, known, index, metric):
        """The metric of the images `index` over all resamples: (R,), where `index` is a category's or all."""
        drawn = np.concatenate([d for c, d in self.drawn.items() if self.members[c][0] in index], axis=1)
        if metric != "KRCC":
            return METRICS[metric](predicted[drawn], known[drawn])
        counts = np.zeros((len(drawn), len(predicted)), "float32")
        np.add.at(counts, (np.arange(len(drawn))[:, None], drawn), 1)
        return krcc(predicted[index], known[index], counts[:, index])


def interval(samples, confidence=0.95):
    """The percentile interval (low, high) of bootstrap samples (R,); NaN where a sample is."""
    if np.isnan(samples).mean() > 0.05:  # a category of a few images may be constant in a rare resample
        return (np.nan, np.nan)
    tail = 50 * (1 - confidence)
    return tuple(float(x) for x in np.nanpercentile(samples, [tail, 100 - tail]))
