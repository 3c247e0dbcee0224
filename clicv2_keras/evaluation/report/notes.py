"""Lines that a reader of the figures must know."""

import numpy as np

from clicv2_keras.data.reading import unreadable_note
from clicv2_keras.evaluation.agreement import all_equal, too_few
from clicv2_keras.evaluation.predictors import MODEL, is_on_another_range
from clicv2_keras.evaluation.report.names import name

SILENT = "this model does not say what it was fitted to: its fitted score may have seen these labels"


def notes_on(evaluation):
    """What was left out of an `Evaluation`, what says nothing, and what figures are the mean of."""
    agreements = evaluation.agreements
    notes = [*evaluation.data.notes]
    if evaluation.unreadable:
        notes.append(unreadable_note(evaluation.unreadable, evaluation.total, "not judged"))
    if evaluation.alike:
        notes.append(evaluation.alike)
    notes += _known(evaluation)
    categories = evaluation.data.categories
    left_out = "left out" if evaluation.data.ranked_within_category else "not in the mean of categories"
    named = categories != ""
    small = too_few(categories[named])
    equal = [name for name in all_equal(evaluation.data.scores[named], categories[named]) if name not in small]
    for why, names in (("too few images to judge by", small), ("labels that are all equal", equal)):
        if names:
            notes.append(f"{why}, and {left_out}: {', '.join(names)}")
    ranges = evaluation.model.label_range, evaluation.data.score_range
    if is_on_another_range(*ranges):
        mine, theirs = (f"from {low:g} to {high:g}" for low, high in ranges)
        notes.append(f"its score was fitted to labels {mine}, these run {theirs}: taken as of one scale")
    if evaluation.other:
        notes += evaluation.other.notes
        pair = evaluation.against
        if not (pair and pair.mine.images.any()):
            notes.append("no difference: too few images are left that neither of the two was fitted to")
        elif np.isnan(pair.difference.value):
            constant = pair.other if np.isnan(pair.other.srcc) else pair.mine
            notes.append(
                f"no difference: {name(constant)} is constant, or within a category, and correlates with nothing"
            )
    heard = [(p.values[..., a.images], a) for p, a in zip(evaluation.predictions, agreements, strict=True)]
    heard = [(values, a) for values, a in heard if a.images.any()]
    constant = [name(a) for values, a in heard if np.any(np.ptp(values, axis=-1) == 0)]
    within = [name(a) for _, a in heard if np.isnan(a.srcc)]
    if constant:
        notes.append(f"constant predictions, which correlate with nothing: {', '.join(constant)}")
    elif within:
        notes.append(f"constant within a category, where they correlate with nothing: {', '.join(within)}")
    seeds = max((a.initialisations for a in agreements), default=1)
    if seeds > 1:
        intervals = ", and intervals are of the mean" if evaluation.judge.resamples else ""
        notes.append(f"untrained: means of {seeds} random initialisations; ± is their deviation{intervals}")
    if evaluation.data.ranked_within_category:
        notes.append("scores are ranked within categories: figures of different categories are never pooled")
    return notes


def _known(evaluation):
    """On the images that the model was fitted to."""
    known = evaluation.known
    notes = [SILENT] if known.silent else []
    mine = {a.predictor: a for a in evaluation.agreements if a.group == MODEL and a.left_out}
    for predictor, what in (("fitted", "its fitted score is"), ("ridge", "predictors that read its encoder are")):
        if predictor in mine:
            left_out, images = mine[predictor].left_out, mine[predictor].images
            few = "none is left" if left_out == len(images) else "too few are left"
            rest = f"judged on the other {images.sum()}, and compared on these alone" if images.any() else few
            verb = what if images.any() else f"{what} not judged:"
            notes.append(f"the model was fitted to {left_out} of the {len(images)} images: {verb} {rest}")
    if evaluation.model.saw_labels:
        notes.append("human labels trained the encoder: nothing that this model says is free of labels")
    return notes
