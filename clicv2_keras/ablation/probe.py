"""What the features of a trained run are worth: the figures of its row."""

from clicv2_keras.ablation.ablation import FIGURES


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
        return _known_complexity(trained), []
    from clicv2_keras.evaluation.measure import DIVERSITY
    from clicv2_keras.evaluation.predictors import RIDGE, RIDGE_MEAN
    from clicv2_keras.evaluation.run import evaluate

    # Deviation is between seeds here, no interval is reported: as few resamples as the bootstrap takes.
    evaluation = evaluate(
        trained.model.encoder, data, test_split=test_split, baselines=False, resamples=2, progress=False
    )
    headlines = {agreement.predictor: agreement.headline for agreement in evaluation.agreements}
    figures = {
        f"{name}_{metric.lower()}": headlines[predictor][metric].value
        for name, predictor in (("ridge", RIDGE), ("ridge_mean", RIDGE_MEAN), ("label_free", DIVERSITY))
        for metric in ("SRCC", "PCC")
    }
    *category, retrieval = (value for _, value, *_ in evaluation.leakage)
    figures["token_retrieval"] = retrieval
    if category:  # there is none where the images have no categories
        figures["category_accuracy"] = category[0]
    return {name: float(figures[name]) for name in FIGURES if name in figures}, evaluation.notes


def _known_complexity(trained):
    table = trained.table
    if table is None:  # a run on procedural images has measured it already
        from clicv2_keras.training.known_complexity import known_complexity

        table = known_complexity(trained.folder.recipe, trained.model)
    _, pcc, srcc = table[0]
    return {"ridge_mean_srcc": srcc, "ridge_mean_pcc": pcc}
