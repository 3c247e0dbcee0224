"""Evaluation, from a model and a labelled data set to tables and a report."""

from dataclasses import replace
from typing import TYPE_CHECKING

from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.device_scope import device_scope
from clicv2_keras.utils.paths import StrPath
from clicv2_keras.utils.seeds import check_seed

if TYPE_CHECKING:
    import keras

    from clicv2_keras.data.labelled.scored_images import ScoredImages
    from clicv2_keras.evaluation.evaluation import Evaluation


def evaluate(
    model: "StrPath | keras.Model" = "default",
    dataset: "str | ScoredImages" = "csv",
    root: StrPath | None = None,
    test_split: str | None = None,
    within_category: bool | None = None,
    baselines: bool = True,
    resamples: int = 1000,
    seed: int = 0,
    untrained_seeds: int = 5,
    against: "StrPath | keras.Model | None" = None,
    batch_size: int = 64,
    device: str | None = None,
    progress: bool = True,
) -> "Evaluation":
    """How far a model agrees with people on labelled images, beside honest baselines.

    What a model says of images to whose labels it was fitted is left out: a model carries their fingerprints.

    Args:
        model: see `find_model`; or a `.tflite` file, whose score and embedding are judged as they are on devices.
        dataset: `"ic9600"`, `"savoias"`, `"nagle"` or `"csv"`; see `open_scored`. Or `ScoredImages` at hand.
        root: the data set's folder, or the CSV file.
        test_split: the part to judge on; see `make_folds`.
        within_category: scores can be compared only within a category; None leaves it to the data set.
        baselines: also measure the untrained encoder, patch entropy and handcrafted measures.
        resamples: of the bootstrap; 0 for no intervals.
        seed: of the folds and the bootstrap, and the first of the untrained encoders'.
        untrained_seeds: how many random initialisations of the encoder the untrained rows are the mean of.
        against: another model, the key of a measure that needs none (`"jpeg_q75"`, `"handcrafted_ridge"`, …), or a
            `.csv` file of scores by any other tool, with the columns `file` and `score`: the difference in SRCC on the
            images that neither was fitted to, with its paired interval.
        batch_size: images that the model sees at a time; fewer take less memory.
        device: `"cpu"`, `"gpu:0"`, …, where Keras computes; by default the first GPU, or the CPU where there is none.
        progress: show a bar.

    Returns:
        An `Evaluation`.

    Raises:
        UserError: one line on what is wrong with the models, the data or the device.
    """
    check_seed(seed)
    choose_backend()
    from rich.progress import Progress

    from clicv2_keras.data.labelled.scored_sets import open_scored
    from clicv2_keras.evaluation.evaluator import Evaluator
    from clicv2_keras.evaluation.judged_model import judged_model
    from clicv2_keras.evaluation.other import open_other
    from clicv2_keras.evaluation.predictors import OF_PIXELS, PREDICTORS
    from clicv2_keras.evaluation.report.provenance import provenance_of

    provenance = provenance_of(
        model, dataset, root, test_split, within_category, baselines, resamples, seed, untrained_seeds, against
    )
    scope = device_scope(device)
    data = open_scored(dataset, root, within_category)
    evaluator = Evaluator(
        data,
        predictors=[key for key in PREDICTORS if baselines or key not in OF_PIXELS or key == against],
        test_split=test_split,
        untrained_seeds=untrained_seeds if baselines else 0,
        seed=seed,
        resamples=resamples,
        content=True,
        batch_size=batch_size,
    )
    with scope:
        # Before the bar: even what cannot be begun would leave an empty line of it.
        other = None if against is None else open_other(against, data)
        judged = judged_model(model, device)
        with Progress(transient=True, disable=not progress) as bar:

            def tick():
                bar.advance(task)

            task = bar.add_task(f"looking at {len(data)} images", total=len(data))
            evaluation = evaluator.run(judged, tick)
            if other is not None:
                task = bar.add_task("looking at them against the other", total=len(data))
                other = other(evaluator, evaluation, tick)
    return replace(evaluation, provenance=provenance, other=other)
