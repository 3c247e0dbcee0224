"""What an `Evaluator` found, and its files."""

import functools
import shlex
from dataclasses import dataclass, replace

import numpy as np

from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.evaluation.agreement import Agreement, Judge
from clicv2_keras.evaluation.content import Content
from clicv2_keras.evaluation.judged_model import KerasModel, KnownImages, TFLiteModel
from clicv2_keras.evaluation.output_folder import REPORT, check_output
from clicv2_keras.evaluation.predictors import MODEL, OTHER, Prediction
from clicv2_keras.evaluation.report.provenance import Provenance
from clicv2_keras.utils.atomic_files import write_csv, write_text
from clicv2_keras.utils.paths import user_path


@dataclass
class Evaluation:
    """How far a model agrees with people, beside what it is compared with.

    Args:
        model: the model, a `KerasModel` or `TFLiteModel`.
        data: the `ScoredImages` that were judged on, readable ones alone.
        protocol: a sentence on what was fitted and judged.
        predictions: a `Prediction` a predictor, for the images of `data`.
        agreements: an `Agreement` a predictor, in the same order.
        judge: the `Judge` that measured the agreements.
        known: the `KnownImages` of the model.
        alike: a sentence on images to fit on that look like one that is judged, or None.
        content: a list of `Content`, what the features tell of it; empty where nobody asked.
        unreadable: the `Read`s of the images of the set that could not be read.
        total: how many images the set has, those to fit on and unreadable ones too.
        provenance: what led to it, for the report.
        other: the `Other` that it was evaluated against, or None.
    """

    model: KerasModel | TFLiteModel
    data: ScoredImages
    protocol: str
    predictions: list[Prediction]
    agreements: list[Agreement]
    judge: Judge
    known: KnownImages
    alike: str | None
    content: list[Content]
    unreadable: list
    total: int
    provenance: Provenance = Provenance("a model at hand")
    other: object = None

    @property
    def figures(self):
        """All figures, floats by key.

        `model/ridge/srcc` is the SRCC by which the model's ridge is compared, `model/ridge/art/srcc` that of the
        category art, `untrained/ridge/srcc` the mean over the random initialisations, `model/token_retrieval` is of the
        content, `against/difference` how much higher the SRCC of `main` is than the other's. For groups and predictors
        see `predictors`, for metrics `statistics`.
        """
        found = {}
        for a in self.agreements:
            for place, row in {"": a.headline, **{f"{part}/": row for part, row in a.rows.items()}}.items():
                for metric, figure in row.items():
                    found[f"{a.group}/{a.predictor}/{place}{metric.lower()}"] = figure.value
        if self.against:
            found |= {"against/srcc": self.against.other.srcc, "against/difference": self.against.difference.value}
        for content in self.content:
            for group in ("model", "untrained", "chance"):
                value = getattr(content, group)
                if value is not None:
                    found[f"{group}/{content.key}"] = value
        return found

    @property
    def main(self):
        """The `Agreement` of the model's best-founded predictor: its fitted score where it has one, else the ridge.

        None where the model was fitted to so many images that nothing it says can be judged.
        """
        return None if self.main_index is None else self.agreements[self.main_index]

    @property
    def main_index(self):
        """The place of `main`: of the model's first predictor that saw labels and has images to be judged on."""
        both = enumerate(self.agreements)
        return next((i for i, a in both if a.group == MODEL and a.calibrated and a.images.any()), None)

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
        """How much higher the SRCC of `main` is than that of what does not come from the model, on the same images and
        resamples: pairs of the other's `Agreement` and a `Figure`."""
        if self.main is None:
            return []
        rows = [(a, self.main.above(a)) for a in self.compared if a.group != MODEL]
        return [(a, figure) for a, figure in rows if np.isfinite(figure.value)]

    @functools.cached_property
    def against(self):
        """The `Pair` of `main` and the other that was asked for, on the images that neither was fitted to; or None."""
        if self.other is None or self.main is None:
            return None
        return self.judge.pair(self.predictions[self.main_index], self.other.prediction)

    @property
    def notes(self):
        """Lines for the user."""
        from clicv2_keras.evaluation.report.notes import notes_on

        return notes_on(self)

    def table(self):
        """Rows of dicts of every figure: group, predictor, part, metric, value, low, high, images (how many).

        The group "against" has `main` and the other on the images of both, and the difference.
        """
        groups = [(a.group, a) for a in self.agreements]
        groups += [("against", a) for a in (self.against or ())]
        rows = [
            {"group": group, "predictor": a.predictor, "part": part, "metric": metric}
            | {**figure._asdict(), "images": a.counts[part]}
            for group, a in groups
            for part, row in a.rows.items()
            for metric, figure in row.items()
        ]
        if self.against:
            part = next(iter(self.against.mine.rows))
            row = {"group": "against", "predictor": "difference", "part": part, "metric": "SRCC"}
            count = self.against.mine.counts[part]
            rows.append(row | self.against.difference._asdict() | {"images": count})
        return rows

    def in_label_units(self, scores):
        """Scores in [0, 1] as the labels were given."""
        low, high = self.data.score_range
        return low + np.asarray(scores) * (high - low)

    def save(self, folder):
        """Write `table.csv`, `predictions.csv` and `report.html` to a folder.

        The tables name predictors by their keys. A prediction of an image that the model was fitted to is an empty
        cell; each of several random initialisations has a column.

        Raises:
            UserError: where one of them is there and none of an evaluation's; see `check_output`.
        """
        check_output(folder, REPORT)
        # On demand: matplotlib takes a second to import.
        from clicv2_keras.evaluation.report.report import report_html

        folder = user_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = ("group", "predictor", "part", "metric", "value", "low", "high", "images")
        write_csv(folder / "table.csv", names, [[_text(row[name]) for name in names] for row in self.table()])
        other = [self.other.prediction] if self.other and self.other.prediction.group == OTHER else []
        columns = [column for p in [*self.predictions, *other] for column in _columns(p)]
        rows = [
            [name, category, _text(score), *("" if left_out[i] else _text(v[i]) for _, v, left_out in columns)]
            for i, (name, category, score) in enumerate(
                zip(self.data.names, self.data.categories, self.data.scores, strict=True)
            )
        ]
        write_csv(folder / "predictions.csv", ["file", "category", "human", *(name for name, *_ in columns)], rows)
        command = self.provenance.command
        command = command and f"{command} --output {shlex.quote(str(folder))}"
        told = replace(self, provenance=self.provenance._replace(command=command))
        write_text(folder / "report.html", report_html(told))

    def show(self, console):
        """Print the tables to a `rich.console.Console`."""
        from clicv2_keras.evaluation.report.terminal import show

        show(self, console)


def _columns(prediction):
    """Its predictions as columns: (name, values, images left out), one an initialisation."""
    label = f"{prediction.group}/{prediction.predictor}"
    if prediction.values.ndim == 1:
        return [(label, prediction.values, prediction.left_out)]
    return [(f"{label}/{i}", v, prediction.left_out) for i, v in enumerate(prediction.values, start=1)]


def _text(value):
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
