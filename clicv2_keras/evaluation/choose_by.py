from dataclasses import replace

import numpy as np

from clicv2_keras.evaluation.folds import make_folds
from clicv2_keras.utils.errors import UserError


def choose_by(data, split=None):
    """The part of a labelled set that a choice between models may rest on: never the one that the chosen is judged by.

    Args:
        data: `ScoredImages`.
        split: the part to judge on, beside `train`, which is fitted on. None: `val`; where there is none, 5-fold
            cross-validation within `train`, or within all but `test` where no part is named `train`.

    Returns:
        `ScoredImages`, and what `make_folds` takes as its `test_split`.

    Raises:
        UserError: where the split is `test`, or there is no such part, or too few images.
    """
    if split == "test":
        raise UserError(f"{data.name}: what is chosen by test cannot be judged by it any more; take another split")
    parts = set(data.splits)
    if "train" not in parts:
        chosen = data.subset(data.splits != "test")
    elif split or "val" in parts:
        split = split or "val"
        chosen = data.subset(np.isin(data.splits, ("train", split)))
    else:
        chosen = data.subset(data.splits == "train")
        chosen = replace(chosen, splits=np.full(len(chosen), ""))
    make_folds(chosen, split)  # a mistake is better told before the work
    return chosen, split
