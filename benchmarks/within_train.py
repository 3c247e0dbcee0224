"""What a search may look at: the parts `train` of Savoias and of Nagle's photographs, judged by 5 folds within them."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def parser(description, what):
    """Of a program that judges several of `what`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(what, nargs="+")
    made.add_argument("--data", type=Path, default=DATA)
    made.add_argument("--resamples", type=int, default=1000)
    return made


def train_sets(data):
    """The two `ScoredImages` by name, of their `train` alone, which names no part any more: `val` is never seen."""
    from clicv2_keras.data.labelled.scored_sets import open_scored

    sets = {
        "Savoias": open_scored("csv", data / "savoias.csv", ranked_within_category=True),
        "Nagle": open_scored("csv", data / "nagle.csv"),
    }
    train = {name: each.subset(each.splits == "train") for name, each in sets.items()}
    return {name: replace(each, splits=np.full(len(each), "")) for name, each in train.items()}


def split_of(data):
    """The `Split` of one of `train_sets` into its 5 folds."""
    from clicv2_keras.evaluation.folds import Split, make_folds

    return Split(make_folds(data)[0], data.scores, data.categories, data.ranked_within_category)


def with_labels(split, share, draws=8):
    """`draws` times a `Split` whose folds are fitted to this share of their labels, of each category at least 3."""
    if share == 1:
        return [split]
    groups, splits = split.categories if split.within else np.zeros(len(split.scores)), []
    for seed in range(draws):
        rng, folds = np.random.default_rng(seed), []
        for train, test in split.folds:
            parts = [rng.permutation(train[groups[train] == name]) for name in np.unique(groups[train])]
            folds.append((np.concatenate([part[: max(3, round(share * len(part)))] for part in parts]), test))
        splits.append(replace(split, folds=folds))
    return splits


def print_judged(name, data, predictions, resamples, width):
    """A line for each (what, scores) of `predictions` of the set `name`, its difference that to the first."""
    from clicv2_keras.evaluation.agreement import Judge
    from clicv2_keras.evaluation.predictors import Prediction

    judge, first = Judge(data.scores, data.categories, not data.ranked_within_category, resamples), None
    for what, scores in predictions:
        agreement = judge.agreement(Prediction(what, "model", scores, False))
        print(f"{what[-width:]:{width}} {name:8} {line(agreement, first)}", flush=True)
        first = first or agreement


def line(agreement, first=None):
    """An `Agreement`'s SRCC with its interval, and the paired difference to `first`, where there is one."""
    value, low, high = agreement.headline["SRCC"]
    text = f"{value:6.4f}  [{low:.3f}, {high:.3f}]"
    if first:
        value, low, high = agreement.above(first)
        text += f"  {value:+.4f} [{low:+.3f}, {high:+.3f}]"
    return text
