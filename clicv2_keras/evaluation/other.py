"""What a model is evaluated against by name: another model, a handcrafted measure, or the scores of any other tool."""

import csv
import operator
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from clicv2_keras.data.labelled.labels import composed, first_names, parse_score
from clicv2_keras.evaluation.agreement import FEWEST
from clicv2_keras.evaluation.evaluator import Evaluator
from clicv2_keras.evaluation.judged_model import judged_model
from clicv2_keras.evaluation.predictors import OF_PIXELS, OTHER, Prediction
from clicv2_keras.evaluation.report.names import PREDICTOR_NAMES
from clicv2_keras.evaluation.report.notes import SILENT
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import ENDINGS
from clicv2_keras.utils.paths import user_path


class Other(NamedTuple):
    """The `Prediction` that a model's is compared with, and lines for the user on it."""

    prediction: Prediction
    notes: list[str]


def open_other(against, data):
    """What AGAINST stands for, checked before the work: a handcrafted measure's key, a CSV file, or a model.

    Args:
        against: a key of `OF_PIXELS`; a `.csv` file with the columns `file` and `score`, by any tool; or a model, see
            `judged_model`.
        data: the `ScoredImages` that are judged on.

    Returns:
        What gives an `Other`, called with the `Evaluator`, the `Evaluation` so far, and a `tick` for each image.

    Raises:
        UserError: where it is none of these, or a table says nothing of the images.
    """
    if isinstance(against, str) and against in OF_PIXELS:
        return _Measure(against)
    if isinstance(against, str | Path) and str(against).lower().endswith(".csv"):
        return _Table(against, data.names)
    try:
        return _Model(judged_model(against), str(against) if isinstance(against, str | Path) else "the other model")
    except UserError as error:
        raise UserError(f"against: {error}; or name a measure: {', '.join(OF_PIXELS)}; or a .csv file") from None


class _Measure(NamedTuple):
    key: str

    def __call__(self, evaluator, evaluation, tick):
        return Other(next(p for p in evaluation.predictions if p.predictor == self.key), [])


class _Model(NamedTuple):
    model: object
    name: str

    def __call__(self, evaluator, evaluation, tick):
        predictors = ("fitted", "ridge", "ridge_mean_token")
        settings = {"test_split": evaluator.test_split, "seed": evaluator.seed, "batch_size": evaluator.batch_size}
        found = Evaluator(evaluator.data, predictors, **settings).run(self.model, tick)
        # As `Evaluation.main`; one that was fitted to all of the images is told of.
        best = next(p for p in found.predictions if p.calibrated)
        best = best if found.main_index is None else found.predictions[found.main_index]
        rows = {name: row for row, name in enumerate(found.data.names)}
        at = np.array([rows.get(name, -1) for name in evaluation.data.names])
        name = f"{PREDICTOR_NAMES[best.predictor]} of {self.name}"
        left_out = (at < 0) | best.left_out[at]
        notes = [f"{self.name}: {SILENT}"] if found.known.silent else []
        return Other(Prediction(name, OTHER, best.values[at], True, left_out), notes)


class _Table:
    """Scores of any tool, found by the images' names."""

    def __init__(self, path, names):
        self.path = path
        self.scores = match_scores(read_scores(path), names, path)
        if len(self.scores) < FEWEST:
            raise UserError(
                f"{path}: has scores of {len(self.scores)} of the {len(names)} images; its column file names images as "
                f"the data set does, {first_names(names)}, or by paths that end so"
            )

    def __call__(self, evaluator, evaluation, tick):
        names = evaluation.data.names
        values = np.array([self.scores.get(name, np.nan) for name in names])
        missing = [name for name in names if name not in self.scores]
        notes = [f"{self.path}: has no score of {len(missing)} images: {first_names(missing)}"] if missing else []
        return Other(Prediction(f"scores of {self.path}", OTHER, values, False, np.isnan(values)), notes)


def read_scores(path):
    """The scores of a CSV file with the columns `file` and `score`: a dict; rows without a number are left out.

    Raises:
        UserError: where there is no such file, or it is none, or a row names no image, or one that has a row already.
    """
    scores = {}
    try:
        with open(user_path(path), encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            columns = {(column or "").strip().lower(): column for column in rows.fieldnames or ()}
            if not {"file", "score"} <= set(columns):
                raise UserError(f"{path}: needs the columns file and score; it has {', '.join(columns) or 'none'}")
            for row in rows:
                name, score = row[columns["file"]], parse_score(row[columns["score"]])
                if score is None:
                    continue
                if not PurePath(name or "").name:
                    at = f"{path}, line {rows.line_num}"
                    raise UserError(f"{at}: {name or ''!r} names no image; name one, or leave the row out")
                if name in scores:
                    raise UserError(f"{path}, line {rows.line_num}: {name} has a score already; keep one of the rows")
                scores[name] = score
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: this is no CSV file in UTF-8; save the table as one") from None
    return scores


def match_scores(scores, names, path):
    """The scores by the names of images, of a dict by paths. A row is of the image that it names; else of one where of
    the two names the one is the end of the other; else where it is so without the file's ending.

    Raises:
        UserError: where two rows may be of one image, or one of two.
    """
    found, left = {}, list(scores)
    for spell, alike in ((str, operator.eq), (composed, _ends_alike), (_without_ending, _ends_alike)):
        by_last, fits = {}, {}
        for row in left:
            parts = PurePath(spell(row)).parts
            by_last.setdefault(parts[-1:], []).append((parts, row))
        for name in dict.fromkeys(names):
            if name in found:
                continue
            parts = PurePath(spell(name)).parts
            rows = [row for other, row in by_last.get(parts[-1:], ()) if alike(parts, other)]
            if len(rows) > 1:
                raise UserError(f"{path}: {rows[0]} and {rows[1]} may both be {name}; name files as the data set does")
            for row in rows:
                if row in fits:
                    raise UserError(f"{path}: {row} may be {fits[row]} or {name}; name files as the data set does")
                fits[row] = name
        found |= {name: scores[row] for row, name in fits.items()}
        left = [row for row in left if row not in fits]
    return found


def _without_ending(name):
    name = composed(name)
    # What is behind another dot may tell it from others.
    return str(PurePath(name).with_suffix("")) if name.lower().endswith(ENDINGS) else name


def _ends_alike(one, other):
    shared = min(len(one), len(other))
    return one[len(one) - shared :] == other[len(other) - shared :]
