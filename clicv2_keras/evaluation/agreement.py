"""How far predictions agree with people, on the images that the model was not fitted to."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from clicv2_keras.data.labelled.scored_images import MEAN, OVERALL
from clicv2_keras.evaluation.statistics import CORRELATIONS, METRICS, Bootstrap, interval

# Of images that are left, fewer say nothing: of 3 every ninth resample is a single image, and there is no interval.
FEWEST = 5


class Figure(NamedTuple):
    """A metric and its 95 % bootstrap interval; NaN where it is not defined, or no interval was asked for."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclass(eq=False)
class Agreement:
    """How far one predictor agrees with people.

    `predictor` and `group` are keys, see `predictors`; `calibrated` as of its `Prediction`.
    `rows` maps "overall", "mean of categories" and each category to a dict of metric to `Figure`. Where scores are
    ranked within categories there is no "overall": a pooled figure would mean nothing. The mean is of the categories
    that have enough images, and labels that differ.
    `counts` are the images of each row. `images` bool (n,) are those of the test set that it was judged on, `left_out`
    how many were not, because the model was fitted to them. Where none is left the figures are NaN.
    `initialisations` is how many random initialisations the figures are the mean of, `spread` the deviation of the
    headline's SRCC between them: None where there is one.
    `samples` are the bootstrap samples of the headline's SRCC, which pair between predictors judged on the same images;
    None where no interval was asked for.
    """

    predictor: str
    group: str
    calibrated: bool
    rows: dict = field(default_factory=dict)
    samples: np.ndarray | None = None
    counts: dict = field(default_factory=dict)
    images: np.ndarray | None = None
    left_out: int = 0
    initialisations: int = 1
    spread: float | None = None

    @property
    def headline(self):
        """The row by which predictors are compared: metric to `Figure`."""
        return self.rows[OVERALL] if OVERALL in self.rows else self.rows[MEAN]

    @property
    def srcc(self):
        """The headline's SRCC, a float."""
        return self.headline["SRCC"].value

    def above(self, other):
        """How much higher its SRCC is than another predictor's: a `Figure` by paired bootstrap."""
        difference = self.srcc - other.srcc
        if self.samples is None or np.isnan(difference):
            return Figure(difference)
        return Figure(difference, *interval(self.samples - other.samples))


class Pair(NamedTuple):
    """Two `Agreement`s on the same images and resamples."""

    mine: Agreement
    other: Agreement

    @property
    def difference(self):
        """How much higher the SRCC of the first is: a `Figure` by paired bootstrap."""
        return self.mine.above(self.other)


class Judge:
    """Measures `Agreement`s with the scores of a test set, on the images that the model was not fitted to.

    Args:
        scores: (n,) known scores.
        categories: (n,) names.
        pooled: whether scores of different categories may be compared.
        resamples, seed: see `Bootstrap`; 0 resamples for no intervals.
    """

    def __init__(self, scores, categories, pooled, resamples=1000, seed=0):
        self.scores, self.categories, self.pooled = scores, categories, pooled
        self.resamples, self.seed = resamples, seed
        self._bootstraps = {}

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
        of = prediction.predictor, prediction.group, prediction.calibrated
        if not own.any():
            part = OVERALL if self.pooled else MEAN
            nothing = {metric: Figure(np.nan) for metric in _metrics(prediction)}
            samples = np.full(self.resamples, np.nan) if self.resamples else None
            return Agreement(*of, {part: nothing}, samples, {part: 0}, own, left_out)
        part = replace(prediction, values=prediction.values[..., own], left_out=None)
        return replace(self._measure(part, own), images=own, left_out=left_out)

    def pair(self, mine, other):
        """The `Pair` of two `Prediction`s, on the images that neither was fitted to."""
        images = self._enough(~mine.left_out & ~other.left_out)
        return Pair(self.agreement(mine, images), self.agreement(other, images))

    def _measure(self, prediction, images):
        """The `Agreement` of a `Prediction` of some of the images, bool (n,)."""
        known, categories = self.scores[images], self.categories[images]
        names = [name for name in np.unique(categories) if name != ""]
        parts = {str(name): np.flatnonzero(categories == name) for name in names}
        left_out = unjudged(known, categories)
        averaged = [name for name in parts if name not in left_out]
        if self.pooled or not parts:
            parts = {OVERALL: np.arange(len(known)), **parts}
        bootstrap = self._bootstrap(images) if self.resamples else None
        runs = np.atleast_2d(prediction.values)
        # By part and metric: of each run, the value and the bootstrap samples; then the mean of the categories' both.
        values, samples = ({part: {} for part in _ordered(parts, averaged)} for _ in range(2))
        for metric, function in _metrics(prediction).items():
            for part, index in parts.items():
                values[part][metric] = np.array([function(run[index], known[index]) for run in runs])
                if bootstrap:
                    drawn = [bootstrap.statistics(run, known, index, metric) for run in runs]
                    samples[part][metric] = np.mean(drawn, axis=0)
            if averaged:
                values[MEAN][metric] = np.mean([values[name][metric] for name in averaged], axis=0)
                if bootstrap:
                    samples[MEAN][metric] = _mean_of_defined([samples[name][metric] for name in averaged])
        result = Agreement(prediction.predictor, prediction.group, prediction.calibrated, initialisations=len(runs))
        for part, row in values.items():
            result.rows[part] = {
                metric: _figure(float(value.mean()), samples[part].get(metric)) for metric, value in row.items()
            }
        headline = OVERALL if OVERALL in values else MEAN
        result.spread = float(values[headline]["SRCC"].std(ddof=1)) if len(runs) > 1 else None
        result.samples = samples[headline].get("SRCC")
        counts = {part: len(index) for part, index in parts.items()}
        counts[MEAN] = sum(counts[name] for name in averaged)
        result.counts = {part: counts[part] for part in result.rows}
        return result

    def _bootstrap(self, images):
        """The same draws for every predictor, so that they pair."""
        key = images.tobytes()
        if key not in self._bootstraps:
            self._bootstraps[key] = Bootstrap(self.categories[images], self.resamples, self.seed)
        return self._bootstraps[key]

    def _enough(self, images):
        """The images without those that are too few to judge by, or have equal labels: in all, or in a category that
        is judged by itself."""
        groups = np.zeros(len(images)) if self.pooled else self.categories
        return images & ~np.isin(groups, unjudged(self.scores[images], groups[images]))


def unjudged(scores, groups):
    """The groups (of an array of one an image) that no figure can be had of, a list: see `too_few` and `all_equal`."""
    return too_few(groups) + all_equal(scores, groups)


def too_few(groups):
    """The groups (of an array of one an image) that have too few images to be judged by themselves, a list."""
    names, counts = np.unique(groups, return_counts=True)
    return names[counts < FEWEST].tolist()


def all_equal(scores, groups):
    """The groups whose images all have one score, with which nothing correlates, a list."""
    return [name for name in np.unique(groups).tolist() if np.ptp(scores[groups == name]) == 0]


def _mean_of_defined(samples):
    """The mean over categories, of samples (C, R), of those that have a figure in a resample: in one of few images a
    resample may be constant."""
    defined = ~np.isnan(samples)
    return np.where(defined.any(axis=0), np.nansum(samples, axis=0) / defined.sum(axis=0).clip(1), np.nan)


def _ordered(parts, averaged):
    """The rows: over all images, the mean of the categories that are averaged, each category."""
    single = [part for part in parts if part != OVERALL]
    return [*([OVERALL] if OVERALL in parts else []), *([MEAN] if averaged else []), *single]


def _figure(value, samples):
    return Figure(value) if samples is None or value != value else Figure(value, *interval(samples))


def _metrics(prediction):
    return METRICS if prediction.calibrated else {name: METRICS[name] for name in CORRELATIONS}
