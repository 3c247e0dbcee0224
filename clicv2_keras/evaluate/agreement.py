from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from clicv2_keras.evaluate.bootstrap import Bootstrap, interval
from clicv2_keras.evaluate.metrics import METRICS

CORRELATIONS = ("PCC", "SRCC", "KRCC")
# Of images that are left, fewer say nothing.
FEWEST = 3


class Figure(NamedTuple):
    """A metric and its 95 % bootstrap interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(eq=False)
class Agreement:
    """How far one predictor agrees with people.

    `rows` maps "overall", "mean of categories" and each category to a dict of metric to `Figure`. Where scores are
    ranked within categories there is no "overall": a pooled figure would mean nothing.
    `counts` are the images of each row. `images` bool (n,) are those of the test set that it was judged on, `left_out`
    how many were not, because the model was fitted to them. Where none is left the figures are NaN.
    `samples` are the bootstrap samples of the headline's SRCC, which pair between predictors judged on the same images.
    """

    predictor: str
    group: str
    rows: dict = field(default_factory=dict)
    samples: np.ndarray | None = None
    counts: dict = field(default_factory=dict)
    images: np.ndarray | None = None
    left_out: int = 0

    @property
    def label(self):
        """The predictor's name, and which images it was judged on where these are not all."""
        if not self.left_out:
            return self.predictor
        total = len(self.images)
        if self.images.any():
            return f"{self.predictor} ({self.images.sum()} of {total} images)"
        if self.left_out == total:
            return f"{self.predictor}: fitted to these {total} images"
        return f"{self.predictor}: fitted to {self.left_out} of these {total} images, too few are left"

    @property
    def headline(self):
        """The row by which predictors are compared: metric to `Figure`."""
        return self.rows["overall"] if "overall" in self.rows else self.rows["mean of categories"]

    def above(self, other):
        """How much higher its SRCC is than another predictor's: a `Figure` by paired bootstrap."""
        difference = self.headline["SRCC"].value - other.headline["SRCC"].value
        return Figure(difference, *interval(self.samples - other.samples))


def measure_agreement(prediction, known, categories, bootstrap, pooled):
    """The `Agreement` of a `Prediction` with scores `known` (n,) of images of `categories` (n,).

    Args:
        bootstrap: the `Bootstrap` of these images.
        pooled: whether scores of different categories may be compared.
    """
    metrics = _metrics(prediction)
    names = [name for name in np.unique(categories) if name != ""]
    parts = {str(name): np.flatnonzero(categories == name) for name in names}
    everything = np.arange(len(known))
    result = Agreement(prediction.name, prediction.group)
    values = {part: {} for part in ("overall", "mean of categories")}
    samples = {part: {} for part in values}
    for metric, function in metrics.items():
        if pooled or not parts:
            values["overall"][metric] = float(function(prediction.values, known))
            samples["overall"][metric] = bootstrap.statistics(prediction.values, known, everything, metric)
        for part, index in parts.items():
            value = float(function(prediction.values[index], known[index]))
            values.setdefault(part, {})[metric] = value
            drawn = bootstrap.statistics(prediction.values, known, index, metric)
            samples.setdefault(part, {})[metric] = drawn
        if parts:
            values["mean of categories"][metric] = float(np.mean([values[part][metric] for part in parts]))
            samples["mean of categories"][metric] = np.mean([samples[part][metric] for part in parts], axis=0)
    for part, row in values.items():
        if row:
            result.rows[part] = {
                metric: Figure(value, *(interval(samples[part][metric]) if value == value else (np.nan, np.nan)))
                for metric, value in row.items()
            }
    headline = "overall" if "overall" in result.rows else "mean of categories"
    result.samples = samples[headline]["SRCC"]
    result.counts = {part: len(parts.get(part, everything)) for part in result.rows}
    result.images = np.full(len(known), True)
    return result


class Judge:
    """Measures `Agreement`s with the scores of a test set, on the images that the model was not fitted to.

    Args:
        scores: (n,) known scores.
        categories: (n,) names.
        pooled: whether scores of different categories may be compared.
        resamples, seed: see `Bootstrap`.
    """

    def __init__(self, scores, categories, pooled, resamples=1000, seed=0):
        self.scores, self.categories, self.pooled = scores, categories, pooled
        self.resamples, self.seed = resamples, seed
        self.bootstraps = {}

    def agreement(self, prediction, images=None):
        """The `Agreement` of a `Prediction` of these images.

        Args:
            images: bool (n,): judge on these and no others, and not at all where the model was fitted to one of them.
                None: on all that it was not fitted to.
        """
        own = self._enough(~prediction.left_out)
        if images is not None:
            own = images if not np.any(images & ~own) else np.zeros_like(images)
        left_out = int(prediction.left_out.sum())
        if not own.any():
            part = "overall" if self.pooled else "mean of categories"
            nothing = {metric: Figure(np.nan, np.nan, np.nan) for metric in _metrics(prediction)}
            samples = np.full(self.resamples, np.nan)
            rows, counts = {part: nothing}, {part: 0}
            return Agreement(prediction.name, prediction.group, rows, samples, counts, own, left_out)
        key = own.tobytes()
        if key not in self.bootstraps:
            # The same draws for every predictor, so that they pair.
            self.bootstraps[key] = Bootstrap(self.categories[own], self.resamples, self.seed)
        part = replace(prediction, values=prediction.values[own], left_out=None)
        found = measure_agreement(part, self.scores[own], self.categories[own], self.bootstraps[key], self.pooled)
        return replace(found, images=own, left_out=left_out)

    def _enough(self, images):
        """The images without those that are too few to judge by: in all, or in a category that is judged by itself."""
        if images.all():
            return images
        groups = np.zeros(len(images)) if self.pooled else self.categories
        few = [name for name in np.unique(groups) if images[groups == name].sum() < FEWEST]
        return images & ~np.isin(groups, few)


def _metrics(prediction):
    return METRICS if prediction.calibrated else {name: METRICS[name] for name in CORRELATIONS}
