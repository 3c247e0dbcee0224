"""What the features of a trained run are worth: the figures of its row."""

# Column of `FIGURES`: the key of the figure, see `Evaluation.figures`.
KEYS = {
    "ridge_srcc": "model/ridge/srcc",
    "ridge_pcc": "model/ridge/pcc",
    "ridge_mean_srcc": "model/ridge_mean_token/srcc",
    "ridge_mean_pcc": "model/ridge_mean_token/pcc",
    "label_free_srcc": "model/diversity/srcc",
    "label_free_pcc": "model/diversity/pcc",
    "category_accuracy": "model/category_accuracy",
    "token_retrieval": "model/token_retrieval",
}


def probe(trained, data=None, test_split=None):
    """Judge the encoder of a `TrainedRun`.

    Args:
        data: `ScoredImages`: the figures are those that `clicv2-keras evaluate RUN` gives. None: agreement with the
            known complexity of procedural images.
        test_split: the part of `data` that is judged.

    Returns:
        A dict of figures, those of `FIGURES` that apply; and lines for the user.
    """
    if data is None:
        figures, notes = _known_complexity(trained), []
    else:
        from clicv2_keras.evaluation.evaluator import Evaluator

        predictors = ("ridge", "ridge_mean_token", "diversity")
        found = Evaluator(data, predictors, test_split, content=True).run(_in_float32(trained.model.encoder))
        figures, notes = found.figures, found.notes
    return {column: figures[key] for column, key in KEYS.items() if key in figures}, notes


def _in_float32(encoder):
    """As `evaluate` would load it: a run may have computed in bfloat16."""
    return encoder if encoder.compute_dtype == "float32" else encoder.copy(dtype="float32")


def _known_complexity(trained):
    if trained.table is not None:  # a run on procedural images has measured it already
        return trained.table
    from clicv2_keras.training.known_complexity import known_complexity

    return known_complexity(trained.folder.recipe, trained.model)
