from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from clicv2_keras.evaluation.bootstrap import Bootstrap, interval
from clicv2_keras.evaluation.metrics import METRICS

CORRELATIONS = ("PCC", "SRCC", "KRCC")
# Of images that are left, fewer say nothing.
FEWEST = 3
MEAN = "mean of categories"


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
    `initialisations` is how many random initialisations the figures are the mean of, `spread` the deviation of the
    headline's SRCC between them: None where there is one.
    `samples` are the bootstrap samples of the headline's SRCC, which pair between predictors judged on the same images.
    """

    predictor: str
    group: str
    rows: dict = field(default_factory=dict)
    samples: np.ndarray | None = None
    counts: dict = field(default_factory=dict)
    images: np.ndarray | None = None
    left_out: int = 0
    initialisations: int = 1
    spread: float | None = None

    @property
    def label(self):
        """The predictor's name; what it is the mean of, or on which images it was judged where these are not all."""
        if self.spread is not None:
            return f"{self.predictor} ({self.initialisations} seeds, SRCC ± {self.spread:.3f})"
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
        return self.rows["overall"] if "overall" in self.rows else self.rows[MEAN]

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
    names = [name for name in np.unique(categories) if name != ""]
    parts = {str(name): np.flatnonzero(categories == name) for name in names}
    if pooled or not parts:
        parts = {"overall": np.arange(len(known)), **parts}
    runs = np.atleast_2d(prediction.values)
    # By part and metric: of each run, the value and the bootstrap samples; then the same of the mean of the categories.
    values, samples = ({part: {} for part in _ordered(parts)} for _ in range(2))
    for metric, function in _metrics(prediction).items():
        for part, index in parts.items():
            values[part][metric] = np.array([function(run[index], known[index]) for run in runs])
            samples[part][metric] = np.stack([bootstrap.statistics(run, known, index, metric) for run in runs])
        if names:
            for found in (values, samples):
                found[MEAN][metric] = np.mean([found[str(name)][metric] for name in names], axis=0)
    result = Agreement(prediction.name, prediction.group, initialisations=len(runs))
    for part, row in values.items():
        result.rows[part] = {
            metric: _figure(float(value.mean()), samples[part][metric].mean(axis=0)) for metric, value in row.items()
        }
    headline = values["overall" if "overall" in values else MEAN]["SRCC"]
    result.spread = float(headline.std(ddof=1)) if len(runs) > 1 else None
    result.samples = samples["overall" if "overall" in values else MEAN]["SRCC"].mean(axis=0)
    result.counts = {part: len(parts[part]) if part in parts else len(known) for part in result.rows}
    result.images = np.full(len(known), True)
    return result


def _ordered(parts):
    """The rows: over all images, the mean of the categories, each category."""
    single = [part for part in parts if part != "overall"]
    return [*(["overall"] if "overall" in parts else []), *([MEAN] if single else []), *single]


def _figure(value, samples):
    return Figure(value, *(interval(samples) if value == value else (np.nan, np.nan)))


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
            part = "overall" if self.pooled else MEAN
            nothing = {metric: Figure(np.nan, np.nan, np.nan) for metric in _metrics(prediction)}
            samples = np.full(self.resamples, np.nan)
            rows, counts = {part: nothing}, {part: 0}
            return Agreement(prediction.name, prediction.group, rows, samples, counts, own, left_out)
        key = own.tobytes()
        if key not in self.bootstraps:
            # The same draws for every predictor, so that they pair.
            self.bootstraps[key] = Bootstrap(self.categories[own], self.resamples, self.seed)
        part = replace(prediction, values=prediction.values[..., own], left_out=None)
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
