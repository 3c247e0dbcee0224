import csv
import io
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clicv2_keras.data.scored_images import ScoredImages
from clicv2_keras.evaluate.agreement import Agreement
from clicv2_keras.evaluate.metrics import METRICS
from clicv2_keras.evaluate.predictors import Prediction
from clicv2_keras.models import ComplexityScorer
from clicv2_keras.whole_file import write_whole


@dataclass
class Evaluation:
    """What `evaluate` found.

    Args:
        model: how the user named the model.
        data: the `ScoredImages` that were judged on, readable ones alone.
        protocol: a sentence on what was fitted and judged.
        predictions: a `Prediction` a predictor, for the images of `data`.
        agreements: an `Agreement` a predictor, in the same order.
        differences: rows (predictor, Figure): how much the model's best predictor that saw labels is above it in SRCC.
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
    differences: list
    leakage: list
    notes: list[str]
    scorer: ComplexityScorer
    recipe: str | None = None
    command: str | None = None

    @property
    def main(self):
        """The `Agreement` of the model's best-founded predictor: its fitted score where it has one, else the ridge."""
        return self.agreements[self.main_index(self.predictions)]

    @staticmethod
    def main_index(predictions):
        """The first predictor of the model that saw labels."""
        return next(i for i, p in enumerate(predictions) if p.calibrated)

    def table(self):
        """Rows of dicts of every figure: group, predictor, part, metric, value, low, high."""
        return [
            {"group": a.group, "predictor": a.predictor, "part": part, "metric": metric, **figure._asdict()}
            for a in self.agreements
            for part, row in a.rows.items()
            for metric, figure in row.items()
        ]

    def in_label_units(self, scores):
        """Scores in [0, 1] as the labels were given."""
        low, high = self.data.score_range
        return low + np.asarray(scores) * (high - low)

    def save(self, folder):
        """Write `table.csv`, `predictions.csv` and `report.html` to a folder."""
        # On demand: matplotlib takes a second to import.
        from clicv2_keras.evaluate.report import report_html

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = ("group", "predictor", "part", "metric", "value", "low", "high")
        rows = [[_text(row[name]) for name in names] for row in self.table()]
        _write(folder / "table.csv", names, rows)
        columns = [p.values for p in self.predictions]
        rows = [
            [name, category, _text(score), *(_text(values[i]) for values in columns)]
            for i, (name, category, score) in enumerate(
                zip(self.data.source.names, self.data.categories, self.data.scores, strict=True)
            )
        ]
        _write(folder / "predictions.csv", ["file", "category", "human", *map(_label, self.predictions)], rows)
        command = self.command and f"{self.command} --output {shlex.quote(str(folder))}"
        write_whole(folder / "report.html", report_html(replace(self, command=command)))

    def show(self, console):
        """Print the tables to a `rich.console.Console`."""
        from rich.table import Table

        headline = "all images" if "overall" in self.main.rows else "mean of categories"
        title = f"{self.data.name}: agreement with people, {headline}, 95 % bootstrap intervals"
        table = Table("predictor", *METRICS, title=title, title_justify="left")
        group = None
        for agreement in self.agreements:
            if agreement.group != group:
                group = agreement.group
                table.add_section()
                table.add_row(f"[bold]{group}")
            table.add_row(f"  {agreement.predictor}", *(_figure(agreement.headline.get(m)) for m in METRICS))
        console.print(table)
        table = Table("part", *METRICS, title=f"{self.main.predictor}, by category", title_justify="left")
        for part, row in self.main.rows.items():
            table.add_row(part, *(_figure(row.get(m)) for m in METRICS))
        console.print(table)
        if self.differences:
            title = f"SRCC of “{self.main.predictor}” above, same images and resamples"
            table = Table("predictor", "difference", title=title, title_justify="left")
            for name, figure in self.differences:
                table.add_row(name, _figure(figure, sign="+"))
            console.print(table)
        table = Table("content in the features", "model", "untrained", "chance", title_justify="left")
        for what, *values in self.leakage:
            table.add_row(what, *("–" if v is None else f"{v:.3f}" for v in values))
        if self.leakage:
            console.print(table)
        for line in (self.protocol, *self.notes):
            console.print(line, markup=False)


def _label(prediction):
    return f"{prediction.group}: {prediction.name}"


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
    write_whole(path, text.getvalue())
