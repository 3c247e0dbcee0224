import csv
import functools
import io
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.evaluation.agreement import Agreement, Judge
from clicv2_keras.evaluation.metrics import METRICS
from clicv2_keras.evaluation.predictors import MODEL, Prediction
from clicv2_keras.models import ComplexityScorer
from clicv2_keras.utils.atomic_files import write_text


@dataclass
class Evaluation:
    """What `evaluate` found.

    Args:
        model: how the user named the model.
        data: the `ScoredImages` that were judged on, readable ones alone.
        protocol: a sentence on what was fitted and judged.
        predictions: a `Prediction` a predictor, for the images of `data`.
        agreements: an `Agreement` a predictor, in the same order.
        judge: the `Judge` that measured the agreements.
        leakage: rows (what, model, untrained, chance), numbers in [0, 1] or None.
        notes: lines for the user.
        scorer: gives the maps: the model, or the label-free scorer of its encoder.
        recipe: the text of the recipe that the model was trained by, where it is known.
        command: the command line that evaluates so, where there is one.
    """

    model: str
    data: ScoredImages
    protocol: str
    predictions: list[Prediction]
    agreements: list[Agreement]
    judge: Judge
    leakage: list
    notes: list[str]
    scorer: ComplexityScorer
    recipe: str | None = None
    command: str | None = None

    @property
    def main(self):
        """The `Agreement` of the model's best-founded predictor: its fitted score where it has one, else the ridge.

        None where the model was fitted to all images, so that nothing that it says can be judged.
        """
        return None if self.main_index is None else self.agreements[self.main_index]

    @property
    def main_index(self):
        """The place of `main`: of the model's first predictor that saw labels and has images to be judged on."""
        both = enumerate(zip(self.predictions, self.agreements, strict=True))
        return next((i for i, (p, a) in both if p.group == MODEL and p.calibrated and a.images.any()), None)

    @functools.cached_property
    def compared(self):
        """The `Agreement`s of all predictors on the images of `main`: figures are compared on the same images or not.

        What the model was fitted to some of these images for is without figures. Without a `main`: as they are.
        """
        if self.main is None:
            return self.agreements
        images = self.main.images
        pairs = zip(self.predictions, self.agreements, strict=True)
        return [a if np.array_equal(a.images, images) else self.judge.agreement(p, images) for p, a in pairs]

    @property
    def differences(self):
        """How much `main` is above what does not come from the model, in SRCC on the same images and resamples: rows
        (predictor, `Figure`)."""
        if self.main is None:
            return []
        rows = [(a.predictor, self.main.above(a)) for a in self.compared if a.group != MODEL]
        return [(name, figure) for name, figure in rows if np.isfinite(figure.value)]

    def table(self):
        """Rows of dicts of every figure: group, predictor, part, metric, value, low, high, images (how many)."""
        return [
            {"group": a.group, "predictor": a.predictor, "part": part, "metric": metric}
            | {**figure._asdict(), "images": a.counts[part]}
            for a in self.agreements
            for part, row in a.rows.items()
            for metric, figure in row.items()
        ]

    def in_label_units(self, scores):
        """Scores in [0, 1] as the labels were given."""
        low, high = self.data.score_range
        return low + np.asarray(scores) * (high - low)

    def save(self, folder):
        """Write `table.csv`, `predictions.csv` and `report.html` to a folder.

        A prediction of an image that the model was fitted to is an empty cell.
        """
        # On demand: matplotlib takes a second to import.
        from clicv2_keras.evaluation.report.report import report_html

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = ("group", "predictor", "part", "metric", "value", "low", "high", "images")
        rows = [[_text(row[name]) for name in names] for row in self.table()]
        _write(folder / "table.csv", names, rows)
        columns = [column for p in self.predictions for column in _columns(p)]
        rows = [
            [name, category, _text(score), *("" if left_out[i] else _text(v[i]) for _, v, left_out in columns)]
            for i, (name, category, score) in enumerate(
                zip(self.data.source.names, self.data.categories, self.data.scores, strict=True)
            )
        ]
        _write(folder / "predictions.csv", ["file", "category", "human", *(name for name, *_ in columns)], rows)
        command = self.command and f"{self.command} --output {shlex.quote(str(folder))}"
        write_text(folder / "report.html", report_html(replace(self, command=command)))

    def show(self, console):
        """Print the tables to a `rich.console.Console`."""
        from rich.table import Table

        headline = "all images" if self.judge.pooled else "mean of categories"
        title = f"{self.data.name}: agreement with people, {headline}, 95 % bootstrap intervals"
        table = Table("predictor", *METRICS, title=title, title_justify="left")
        group = None
        for agreement in self.agreements:
            if agreement.group != group:
                group = agreement.group
                table.add_section()
                table.add_row(f"[bold]{group}")
            table.add_row(f"  {agreement.label}", *(_figure(agreement.headline.get(m)) for m in METRICS))
        console.print(table)
        if self.main:
            table = Table("part", *METRICS, title=f"{self.main.label}, by category", title_justify="left")
            for part, row in self.main.rows.items():
                table.add_row(part, *(_figure(row.get(m)) for m in METRICS))
            console.print(table)
        differences = self.differences
        if differences:
            title = f"SRCC of “{self.main.label}” above, same images and resamples"
            table = Table("predictor", "difference", title=title, title_justify="left")
            for name, figure in differences:
                table.add_row(name, _figure(figure, sign="+"))
            console.print(table)
        table = Table("content in the features", "model", "untrained", "chance", title_justify="left")
        for what, *values in self.leakage:
            table.add_row(what, *("–" if v is None else f"{v:.3f}" for v in values))
        if self.leakage:
            console.print(table)
        for line in (self.protocol, *self.notes):
            console.print(line, markup=False)


def _columns(prediction):
    """Its predictions as columns: (name, values, images left out), one an initialisation."""
    label = f"{prediction.group}: {prediction.name}"
    if prediction.values.ndim == 1:
        return [(label, prediction.values, prediction.left_out)]
    return [(f"{label}, run {i}", v, prediction.left_out) for i, v in enumerate(prediction.values, start=1)]


def _text(value):
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value


def _figure(figure, sign=""):
    if figure is None or figure.value != figure.value:
        return "–"
    if figure.low != figure.low:
        return f"{figure.value:{sign}.3f}"
    return f"{figure.value:{sign}.3f} [{figure.low:{sign}.2f}, {figure.high:{sign}.2f}]"


def _write(path, names, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    write_text(path, text.getvalue())
