"""Data sets with human complexity scores, by the name that the command line gives them."""

import os
from dataclasses import replace

from clicv2_keras.data.labelled.ic9600 import open_ic9600
from clicv2_keras.data.labelled.savoias import open_savoias
from clicv2_keras.data.labelled.score_table import open_score_table
from clicv2_keras.data.labelled.scored_images import SUMMARIES
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.text import did_you_mean


def open_nagle(root):
    """The everyday photographs of Nagle and Lavie (2020, PMC7277246), and what people said of them.

    Args:
        root: a table with the columns `file`, `score` and, where there is one, `split`; or a folder that holds it as
            `nagle.csv`. Scores are TrueSkill's, on one scale for all: see `open_score_table`.

    Returns:
        `ScoredImages`.

    Raises:
        UserError: where it is not there, or no such table.
    """
    root = user_path(root)
    return open_score_table(root / "nagle.csv" if root.is_dir() else root)


SCORED_SETS = {"ic9600": open_ic9600, "savoias": open_savoias, "nagle": open_nagle, "csv": open_score_table}


def open_scored(dataset, root, ranked_within_category=None):
    """Open a data set of images with human scores.

    Args:
        dataset: "ic9600", "savoias", "nagle" or "csv"; or `ScoredImages` at hand, which need no root.
        root: its folder; for "csv" the table.
        ranked_within_category: whether scores can be compared only within a category; by default true of Savoias alone.

    Returns:
        `ScoredImages`.

    Raises:
        UserError: where there is no such data set, it cannot be read, or a category is called as one of `SUMMARIES`.
    """
    images = _open_named(dataset, root) if isinstance(dataset, str) else dataset
    for row, category in enumerate(images.categories):
        if category in SUMMARIES:
            where = f"{images.name}: {images.source.name(row)}"
            raise UserError(f"{where}: no category can be called {category}, as a row of all images is; rename it")
    if ranked_within_category is None:
        return images
    return replace(images, ranked_within_category=ranked_within_category)


def _open_named(dataset, root):
    if dataset not in SCORED_SETS:
        hint = did_you_mean(dataset.lower(), SCORED_SETS)
        raise UserError(f"{dataset}: unknown data set; {hint}there are {', '.join(SCORED_SETS)}")
    if root is None:
        raise UserError(f"{dataset}: its root is missing; name where the data set lies")
    if not os.path.exists(user_path(root)):
        raise UserError(f"{root}: there is no such file or folder; name where the data set lies")
    return SCORED_SETS[dataset](root)


def open_scored_sets(datasets, roots, ranked_within_category=None):
    """Open one data set or several; see `open_scored`.

    Args:
        datasets, roots: one of each, or lists of the same length.

    Returns:
        A list of `ScoredImages`.

    Raises:
        UserError: where there are more of the one than of the other, or a set cannot be opened.
    """
    datasets = list(datasets) if isinstance(datasets, list | tuple) else [datasets]
    roots = list(roots) if isinstance(roots, list | tuple) else [roots] * len(datasets)
    if len(roots) != len(datasets):
        raise UserError(f"{len(datasets)} data sets, but {len(roots)} roots; name a root for each, in the same order")
    return [open_scored(each, root, ranked_within_category) for each, root in zip(datasets, roots, strict=True)]
