import csv
import functools
import math
import os
from pathlib import Path

from clicv2_keras.data.labelled.labels import Label, match_labels, parse_score
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path

COLUMNS = ("file", "score", "category", "split")


def open_score_table(path):
    """Images that a CSV file names and scores.

    Args:
        path: a UTF-8 file with the columns `file` (relative to the table's folder), `score` and, where there are any,
            `category` and `split`; the case of a column's name does not matter. Scores within [0, 1] are taken as they
            are; others are rescaled from their lowest and highest.

    Returns:
        `ScoredImages`.

    Raises:
        UserError: one line that says what is wrong with the table.
    """
    labels = read_score_table(path)
    scores = [label.score for label in labels]
    notes = ()
    low, high = 0.0, 1.0
    if not all(0 <= score <= 1 for score in scores):
        low, high = min(scores), max(scores)
        notes = (f"scores run from {low:g} to {high:g}: taken as the ends of their range",)
    if not math.isfinite(high - low):
        raise UserError(f"{path}: scores run from {low:g} to {high:g}, too far apart for one range; correct them")
    name = Path(path).stem
    return match_labels(name, labels, (low, high), path, user_path(path).parent, notes=notes)


def read_score_table(path):
    """The table's rows, a list of `Label`; see `open_score_table`."""
    file = user_path(path)
    if not file.is_file():
        raise UserError(f"{path}: there is no such file; name a CSV file with the columns file and score")
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            labels = list(_labels(csv.DictReader(stream), path, file.parent))
    except UnicodeDecodeError:
        raise UserError(f"{path}: this is no UTF-8 text; save the table as a CSV file in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: this is no CSV file ({error}); save the table as one") from None
    if not labels:
        raise UserError(f"{path}: the table is empty; it needs the columns file and score, and a row an image")
    return labels


def _labels(rows, path, root):
    if not rows.fieldnames:
        return
    names = [(column or "").strip().lower() for column in rows.fieldnames]
    columns = dict(zip(names, rows.fieldnames, strict=True))
    for name in COLUMNS:
        if names.count(name) > 1:
            raise UserError(f"{path}: the column {name} is there more than once; keep one")
    for needed in ("file", "score"):
        if needed not in columns:
            raise UserError(f"{path}: there is no column {needed}; the columns are {', '.join(rows.fieldnames)}")
    lines, real = {}, functools.cache(os.path.realpath)
    for row in rows:
        cells = {name: (row[column] or "").strip() for name, column in columns.items()}
        at = f"{path}, line {rows.line_num}"
        score = parse_score(cells["score"])
        if not cells["file"]:
            raise UserError(f"{at}: the column file is empty; name an image, or leave the row out")
        if "\0" in cells["file"]:
            raise UserError(f"{at}: the column file holds a null byte; name an image, or leave the row out")
        if score is None:
            raise UserError(f"{at}: the score {cells['score']!r} is no number; correct it, or leave the row out")
        image = root / user_path(cells["file"])
        # One image may be named in several ways.
        image = Path(real(image.parent), image.name)
        if image in lines:
            raise UserError(f"{at}: {cells['file']} is already in line {lines[image]}; keep one of the rows")
        lines[image] = rows.line_num
        yield Label(cells["file"], image, score, cells.get("category", ""), cells.get("split", ""))
