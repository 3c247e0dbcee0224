"""Evaluation, from a model and a labelled data set to tables."""

import numpy as np
from rich.progress import Progress

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.data.pipeline import load_images
from clicv2_keras.evaluation.agreement import Judge
from clicv2_keras.evaluation.evaluation import Evaluation
from clicv2_keras.evaluation.folds import make_folds
from clicv2_keras.evaluation.known_images import SILENT, KnownImages
from clicv2_keras.evaluation.leakage import RETRIEVED, category_accuracy, token_retrieval
from clicv2_keras.evaluation.measure import FITTED, measure
from clicv2_keras.evaluation.predictors import MODEL, RIDGE, Split, predictions
from clicv2_keras.evaluation.report.provenance import command_line, recipe_of
from clicv2_keras.models.find_model import encoder_of, find_model, scorer_of
from clicv2_keras.utils.errors import UserError


def evaluate(
    model="default",
    dataset="csv",
    root=None,
    test_split=None,
    within_category=None,
    baselines=True,
    resamples=1000,
    seed=0,
    untrained_seeds=5,
    progress=True,
):
    """How far a model agrees with people on labelled images, beside honest baselines.

    What a model says of images to whose labels it was fitted is left out: a model carries their fingerprints.

    Args:
        model: see `find_model`.
        dataset: `"ic9600"`, `"savoias"` or `"csv"`; see `open_scored`. Or `ScoredImages` at hand.
        root: the data set's folder, or the CSV file.
        test_split: the part to judge on; see `make_folds`.
        within_category: scores can be compared only within a category; None leaves it to the data set.
        baselines: also measure the untrained encoder, patch entropy and handcrafted measures.
        resamples: of the bootstrap.
        seed: of the folds and the bootstrap, and the first of the untrained encoders'.
        untrained_seeds: how many random initialisations of the encoder the untrained rows are the mean of.
        progress: show a bar.

    Returns:
        An `Evaluation`.

    Raises:
        UserError: one line on what is wrong with the model or the data.
    """
    command = command_line(
        model, dataset, root, test_split, within_category, baselines, resamples, seed, untrained_seeds
    )
    recipe = recipe_of(model)
    name = str(model) if isinstance(model, str) or hasattr(model, "__fspath__") else type(model).__name__
    data = open_scored(dataset, root, within_category) if isinstance(dataset, str) else dataset
    make_folds(data, test_split, seed)  # a mistake is better told before the work than after it
    model = find_model(model)
    with Progress(transient=True, disable=not progress) as bar:
        task = bar.add_task(f"measuring {len(data)} images", total=len(data))
        seeds = range(seed, seed + untrained_seeds) if baselines else ()
        measures = measure(data.source, model, seeds, baselines, tick=lambda: bar.advance(task))
    notes = [*data.notes]
    if measures.unreadable:
        first = "; ".join(f"{name}: {reason}" for name, reason in measures.unreadable[:3])
        notes.append(f"{len(measures.unreadable)} of {len(data)} images are unreadable and not judged: {first}")
    data = data.subset(measures.index)
    folds, protocol = make_folds(data, test_split, seed)
    split = Split(folds, data.scores, data.categories, data.ranked_within_category)
    judged = data.subset(split.test)
    if np.ptp(judged.scores) == 0:
        raise UserError(f"{data.name}: all labels that are judged on are {judged.scores[0]:g}: nothing to agree with")

    known = KnownImages.of(model, measures.fingerprints)
    found = predictions(measures, split, known)
    judge = Judge(judged.scores, judged.categories, not data.ranked_within_category, resamples, seed)
    agreements = [judge.agreement(p) for p in found]
    notes += _known_notes(known, agreements)
    heard = [(p.values[..., a.images], a) for p, a in zip(found, agreements, strict=True) if a.images.any()]
    constant = [a.predictor for values, a in heard if np.any(np.ptp(values, axis=-1) == 0)]
    within = [a.predictor for _, a in heard if np.isnan(a.headline["SRCC"].value)]
    if constant:
        notes.append(f"constant predictions, which correlate with nothing: {', '.join(constant)}")
    elif within:
        notes.append(f"constant within a category, so that nothing correlates there: {', '.join(within)}")
    if len(seeds) > 1:
        notes.append(
            f"untrained: means of {len(seeds)} random initialisations; ± is their deviation, intervals are of the mean"
        )
    if data.ranked_within_category:
        notes.append("scores are ranked within categories: figures of different categories are never pooled")
    return Evaluation(
        model=name,
        data=judged,
        protocol=protocol,
        predictions=found,
        agreements=agreements,
        judge=judge,
        leakage=_leakage(model, data, measures, seed, seeds),
        notes=notes,
        scorer=scorer_of(model),
        recipe=recipe,
        command=command,
    )


def _known_notes(known, agreements):
    """Lines on what the model was fitted to."""
    notes = [SILENT] if known.silent else []
    mine = {a.predictor: a for a in agreements if a.group == MODEL and a.left_out}
    for predictor, what in ((FITTED, "its own score"), (RIDGE, "whatever reads its encoder")):
        if predictor in mine:
            left_out, images = mine[predictor].left_out, mine[predictor].images
            few = "none is left" if left_out == len(images) else "too few are left"
            rest = f"it is judged on the other {images.sum()}, and compared on these alone" if images.any() else few
            notes.append(f"{left_out} of the {len(images)} images fitted the model: left out of {what}; {rest}")
    if known.features.any():
        notes.append("human labels trained the encoder: nothing that this model says is free of labels")
    return notes


def _leakage(model, data, measures, seed, seeds):
    """Rows of what the features tell of the content: (what, model, untrained, chance)."""
    encoder = encoder_of(model)
    names, counts = np.unique(data.categories, return_counts=True)
    rows = []
    model_accuracy = category_accuracy(measures.model["token"], data.categories, seed)
    if model_accuracy is not None:
        untrained = [category_accuracy(measured["token"], data.categories, seed) for measured in measures.untrained]
        what = f"a linear probe names the category ({len(names)})"
        rows.append((what, model_accuracy, _mean(untrained), counts.max() / counts.sum()))
    chosen = np.random.default_rng(seed).permutation(len(data))[:RETRIEVED]
    images = load_images(data.source, chosen, encoder.image_size)
    untrained = [token_retrieval(encoder.untrained(each), images, seed) for each in seeds]
    what = f"a token finds its image's other shifted view among {len(chosen)}"
    rows.append((what, token_retrieval(encoder, images, seed), _mean(untrained), 1 / len(chosen)))
    return rows


def _mean(values):
    return float(np.mean(values)) if values else None
