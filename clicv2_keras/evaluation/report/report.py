"""An `Evaluation` as one HTML file to send round: nothing in it comes from elsewhere, and it runs no script."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from clicv2_keras.evaluation.agreement import Agreement, Figure, unjudged
from clicv2_keras.evaluation.predictors import MODEL
from clicv2_keras.evaluation.report.gallery import make_gallery
from clicv2_keras.evaluation.report.names import GROUP_NAMES, LABEL_FREE, PREDICTOR_NAMES, content_name, label, name
from clicv2_keras.evaluation.report.provenance import versions
from clicv2_keras.evaluation.report.scatter import legend, scatter_svg
from clicv2_keras.evaluation.statistics import METRICS

TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("report.html.j2", "report.css"))
LOWER_IS_BETTER = ("RMSE", "RMAE")
# Panels of the scatter plot: more would be no picture, and weigh too much.
MOST_PANELS = 12


def report_html(evaluation):
    """The report on an `Evaluation`: the text of a page of its own."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"number": _number, "interval": _interval, "name": name, "label": label}
    agreements, main = evaluation.agreements, evaluation.main
    shown = [a for a in agreements if a is main or (a.group == MODEL and a.predictor in LABEL_FREE and a.images.any())]
    shown.sort(key=lambda a: a is not main)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        style=Markup(STYLE.read_text(encoding="utf-8")),
        evaluation=evaluation,
        data=evaluation.data,
        main=main,
        left_out=max((a.left_out for a in agreements if a.group == MODEL), default=0),
        group_names=GROUP_NAMES,
        intervals=evaluation.judge.resamples > 0,
        date=datetime.date.today().isoformat(),
        metrics={metric: "↓" if metric in LOWER_IS_BETTER else "↑" for metric in METRICS},
        groups={group: [a for a in agreements if a.group == group] for group in GROUP_NAMES},
        best=_best([a for a in agreements if not a.left_out]),
        pooled=evaluation.judge.pooled,
        categories={name: count for name, count in _counts(evaluation.data).items() if name},
        averaged=len(
            set(_counts(evaluation.data)).difference(unjudged(evaluation.data.scores, evaluation.data.categories))
        ),
        with_panels=len(_counts(evaluation.data.subset(main.images))) if main else 0,
        by_category=list({a.predictor: a for a in shown}.values()),
        verdict=main and Verdict.of(main, [a for a in evaluation.compared if a.group != MODEL]),
        label_free=_label_free(evaluation),
        other=_against(evaluation),
        differences=_differences(evaluation),
        constant=[a for a in agreements if a.images.any() and np.isnan(a.srcc)],
        forest=_Forest(evaluation.compared),
        panels=_panels(evaluation) if main else [],
        legend=legend(evaluation.data.categories[main.images]) if main and evaluation.judge.pooled else {},
        gallery=make_gallery(evaluation) if main else None,
        mapped=PREDICTOR_NAMES[evaluation.model.mapped],
        contents=[(content_name(c), c.model, c.untrained, c.chance) for c in evaluation.content],
        versions=versions(),
    )


@dataclass
class Verdict:
    """What can be said of a predictor against the best of its rivals.

    `rival` and `difference` (of SRCC, paired by resample) are None where no rival has a figure.
    """

    agreement: Agreement
    rival: Agreement | None = None
    difference: Figure | None = None

    @classmethod
    def of(cls, agreement, rivals):
        """The verdict on an `Agreement` against the best of a list of others."""
        best = max((r for r in rivals if np.isfinite(r.srcc)), key=lambda r: r.srcc, default=None)
        if best is None or not np.isfinite(agreement.srcc):
            return cls(agreement)
        return cls(agreement, best, agreement.above(best))

    @property
    def outcome(self):
        """The verb of the sentence. Only an interval wholly above 0 is called a win."""
        if np.isnan(self.difference.low):
            return "is above" if self.difference.value > 0 else "is not above"
        if self.difference.low > 0:
            return "beats"
        if self.difference.high < 0:
            return "falls short of"
        return "does not clearly beat" if self.difference.value > 0 else "does not beat"


def _against(evaluation):
    """The `Verdict` against the other that was asked for; None where there is none, no image to compare on, or one
    of the two is constant."""
    pair = evaluation.against
    there = pair and np.isfinite(pair.difference.value)
    return Verdict(pair.mine, pair.other, pair.difference) if there else None


def _label_free(evaluation):
    """The `Verdict` on the model's label-free score, against what saw no label either and does not come from it.

    None where human labels trained the encoder, or there is no such score.
    """
    if evaluation.model.saw_labels:
        return None
    unlabelled = [a for a in evaluation.agreements if not a.calibrated]
    mine = next((a for a in unlabelled if a.group == MODEL), None)
    return mine and Verdict.of(mine, [a for a in unlabelled if a.group != MODEL])


def _differences(evaluation):
    """The paired differences, by group."""
    rows = evaluation.differences
    return {group: [row for row in rows if row[0].group == group] for group in GROUP_NAMES if group != MODEL and rows}


def _best(agreements):
    """The best headline figure of each metric."""
    best = {}
    for metric in METRICS:
        values = [a.headline[metric].value for a in agreements if metric in a.headline]
        values = [value for value in values if np.isfinite(value)]
        if values:
            best[metric] = min(values) if metric in LOWER_IS_BETTER else max(values)
    return best


class _Forest:
    """The headline SRCC of all predictors on the same images, best first, and where each lies on the common axis."""

    def __init__(self, agreements):
        rows = [(a, a.headline["SRCC"]) for a in agreements]
        self.rows = sorted((row for row in rows if np.isfinite(row[1].value)), key=lambda row: -row[1].value)
        self.without = [a for a, figure in rows if not np.isfinite(figure.value)]
        values = [x for _, figure in self.rows for x in figure if np.isfinite(x)]
        self.low = np.floor(min([0.0, *values]) * 5) / 5
        self.high = np.ceil(max([0.2, *values]) * 5) / 5
        self.ticks = np.arange(round(self.low * 5), round(self.high * 5) + 1) / 5

    def at(self, value):
        """The place of a value, in percent of the axis."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


def _panels(evaluation):
    """Scatter plots of the main predictor: (category, SVG, Figure), one per category where scores are ranked so."""
    judged = evaluation.main.images
    data = evaluation.data.subset(judged)
    predicted = evaluation.in_label_units(evaluation.predictions[evaluation.main_index].values[judged])
    human = evaluation.in_label_units(data.scores)
    if not data.ranked_within_category:
        svg = scatter_svg(human, predicted, data.categories, data.score_range, inches=4.5)
        return [("", Markup(svg), evaluation.main.headline["SRCC"])]
    counts = _counts(data)
    panels = []
    for category in sorted(sorted(counts, key=counts.get, reverse=True)[:MOST_PANELS]):
        mine = data.categories == category
        svg = scatter_svg(human[mine], predicted[mine], data.categories[mine], data.score_range)
        panels.append((category, Markup(svg), evaluation.main.rows[category]["SRCC"]))
    return panels


def _counts(data):
    """How many images each category has."""
    names, counts = np.unique(data.categories, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _number(value, sign=""):
    """Three decimals with a true minus and no negative zero; "–" where there is no figure."""
    return "–" if value is None or value != value else f"{value:{sign}z.3f}".replace("-", "−")


def _interval(figure, sign=""):
    if figure.low != figure.low:
        return ""
    return f"[{figure.low:{sign}z.2f}, {figure.high:{sign}z.2f}]".replace("-", "−")
