"""Data sets with human complexity scores, by the name that the command line gives them."""

import difflib
from dataclasses import replace
from pathlib import Path

from clicv2_keras.data.ic9600 import open_ic9600
from clicv2_keras.data.savoias import open_savoias
from clicv2_keras.data.score_table import open_score_table
from clicv2_keras.errors import UserError

SCORED_SETS = {"ic9600": open_ic9600, "savoias": open_savoias, "csv": open_score_table}


def open_scored(dataset, root, ranked_within_category=None):
    """Open a data set of images with human scores.

    Args:
        dataset: "ic9600", "savoias" or "csv".
        root: its folder; for "csv" the table.
        ranked_within_category: whether scores can be compared only within a category; by default true of Savoias alone.

    Returns:
        `ScoredImages`.

    Raises:
        UserError: where there is no such data set, or it cannot be read.
    """
    if dataset not in SCORED_SETS:
        near = difflib.get_close_matches(str(dataset).lower(), SCORED_SETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"{dataset}: unknown data set; {hint}There are {', '.join(SCORED_SETS)}")
    if not Path(root).expanduser().exists():
        raise UserError(f"{root}: there is no such file or folder; name where the data set lies")
    images = SCORED_SETS[dataset](root)
    if ranked_within_category is None:
        return images
    return replace(images, ranked_within_category=ranked_within_category)
