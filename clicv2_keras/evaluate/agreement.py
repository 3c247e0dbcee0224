from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from clicv2_keras.evaluate.bootstrap import interval
from clicv2_keras.evaluate.metrics import METRICS

CORRELATIONS = ("PCC", "SRCC", "KRCC")


class Figure(NamedTuple):
    """A metric and its 95 % bootstrap interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass
class Agreement:
    """How far one predictor agrees with people.

    `rows` maps "overall", "mean of categories" and each category to a dict of metric to `Figure`. Where scores are
    ranked within categories there is no "overall": a pooled figure would mean nothing.
    `samples` are the bootstrap samples of the headline's SRCC, which pair between predictors.
    """

    predictor: str
    group: str
    rows: dict = field(default_factory=dict)
    samples: np.ndarray | None = None

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
    metrics = METRICS if prediction.calibrated else {name: METRICS[name] for name in CORRELATIONS}
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
    return result
