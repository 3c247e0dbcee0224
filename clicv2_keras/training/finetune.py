"""Fine-tuning, from a model and labelled images to a `ComplexityScorer` in a `.keras` file."""

import contextlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clicv2_keras.recipe.files import validated
from clicv2_keras.recipe.shapes import PARTS
from clicv2_keras.training.run import train_recipe
from clicv2_keras.training.run_log import run_log
from clicv2_keras.training.source import fitted_parts
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.device_scope import device_scope
from clicv2_keras.utils.display import Display
from clicv2_keras.utils.errors import UserError, refuse_unused
from clicv2_keras.utils.paths import StrPath, check_local, check_replaceable, check_writable, user_path
from clicv2_keras.utils.seeds import check_seed
from clicv2_keras.utils.text import as_unicode

if TYPE_CHECKING:
    import keras

    from clicv2_keras.data.labelled.scored_images import ScoredImages
    from clicv2_keras.models.complexity_scorer import ComplexityScorer

log = logging.getLogger(__name__)
PROCEDURAL = "procedural"
# The largest input of an encoder that ships: what is drawn is reduced from there.
DRAWN_SIZE = 256


def finetune(
    model: "StrPath | keras.Model" = "default",
    dataset: "str | ScoredImages | Sequence[str | ScoredImages]" = "csv",
    root: StrPath | Sequence[StrPath] | None = None,
    output: StrPath | None = "scorer.keras",
    parts: Sequence[str] | None = None,
    splits: Sequence[str] = ("train",),
    steadiness: float = 25.0,
    whole: bool = False,
    stem_rate: float = 0.0,
    epochs: int = 10,
    learning_rate: float = 5e-5,
    within_category: bool | None = None,
    seed: int = 0,
    run_dir: StrPath | None = None,
    resume: bool = False,
    progress: bool = True,
    batch_size: int = 32,
    device: str | None = None,
) -> "ComplexityScorer":
    """Turn labelled images into a `ComplexityScorer`.

    Its head gives each patch a number in [0, 1] and averages them. Where a data set names parts, only images of those
    in `splits` are used. Images whose scores may be compared share an intercept while fitting: those of a data set, or
    of a category where scores are ranked within categories. The scorer keeps the intercept of the data sets whose scale
    is common to all their images, their mean where there are several. Without such a set it keeps the mean of all
    intercepts: the level of its scores across kinds of image is then not calibrated.

    Args:
        model: see `find_model`; its encoder is used, whatever head it has.
        dataset, root, within_category: see `evaluate`; each of the first two may be a list, of as many data sets. Or
            `"procedural"`, which has no root: 1,000 drawn images whose complexity is known, for a label-free score.
        splits: the parts of a data set that are fitted to.
        output: the `.keras` file to write; None writes none. Only a model of this package is replaced there.
        parts: the features the head reads; see `PatchReadOut`. None is those of the model's head, if labels fitted
            it, or all.
        steadiness: how little mirroring, slight crops and resizing shall move a score: what their mean square counts
            against the fit's. With it, blank pictures are taught as 0 and collages as 1. 0 fits the labels alone.
        whole: train the encoder as well, after the head alone: by AdamW on the squared error of two crops of each
            image, and on what their scores differ by. This is a run like any other, see `train`, and its recipe is in
            its folder. Without it `stem_rate`, `epochs`, `learning_rate`, `run_dir` and `resume` are mistakes.
        stem_rate: the learning rate of a pretrained stem as a share of that of the others; 0 leaves a
            frozen stem as it is.
        epochs, learning_rate: of the whole network; the rate falls to 0 by cosine.
        seed: of the order of the images and their crops.
        run_dir: the run folder of the whole network; None is `NAME_run` beside the output `NAME.keras`, or without an
            output a folder that goes when the run has ended.
        resume: go on with that run from its last checkpoint; start where there is none.
        progress: show what happens.
        batch_size: images that are computed at a time, which memory bounds; of the whole network those of a step.
        device: `"cpu"`, `"gpu:0"`, …, where Keras computes; by default the first GPU, or the CPU where there is none.

    Returns:
        The `ComplexityScorer`. It carries the fingerprints of the images that it was fitted to, so that `evaluate` does
        not judge it on them.

    Raises:
        UserError: one line on what is wrong with the model, the data, the output or the device.
        RunAborted: of the whole network, as `train` raises it.
    """
    if not whole:
        given = {"stem_rate": stem_rate, "epochs": epochs, "learning_rate": learning_rate, "run_dir": run_dir}
        refuse_unused(
            finetune, {**given, "resume": resume}, "is of the whole network, and the head alone is fitted; add --whole"
        )
    drawn = PROCEDURAL in _list(dataset)
    if drawn and len(_list(dataset)) > 1:
        raise UserError(f"{PROCEDURAL}: is no scale of people's; fit to it alone, or leave it out")
    if drawn:
        refuse_unused(
            finetune,
            {"root": root, "within_category": within_category, "whole": whole},
            "means nothing for procedural images, to which the head alone is fitted; leave it out",
        )
    if output is not None:
        output = user_path(output)
        if output.suffix != ".keras":
            raise UserError(f"{output}: a scorer is saved as a .keras file; name one")
        check_writable(output)
    if run_dir is not None:
        check_local(run_dir, "--run-dir")
    check_seed(seed)
    choose_backend()
    scope = device_scope(device)
    from clicv2_keras.data.labelled.joint_sets import join_sets
    from clicv2_keras.data.labelled.scored_sets import open_scored_sets
    from clicv2_keras.models import ComplexityScorer, LinearHead
    from clicv2_keras.models.find_model import encoder_of, find_model, fitted_head_of, holds_model
    from clicv2_keras.training.fit_scorer import fit_scorer
    from clicv2_keras.training.known_complexity import unseen_images
    from clicv2_keras.utils.atomic_files import save_model

    if output is not None:
        check_replaceable(output, holds_model, "finetune")
    sets = [unseen_images(DRAWN_SIZE)] if drawn else open_scored_sets(dataset, root, within_category)
    labels = join_sets(fitted_parts(sets, splits))
    with contextlib.ExitStack() as stack:
        stack.enter_context(scope)
        found = find_model(model)
        head = fitted_head_of(found)
        # A head that no label fitted may read two numbers a patch: what labels tell of the others would be lost.
        is_of_labels = head is not None and head.label_range is not None
        parts = tuple(parts or (head.read_out.parts if is_of_labels else PARTS))
        if whole:
            if run_dir is None and output is not None:
                run_dir = output.with_name(f"{output.stem}_run")
            folder = user_path(run_dir or stack.enter_context(tempfile.TemporaryDirectory()))
            values = {
                "name": as_unicode(folder.resolve().name) or "finetune",
                "seed": seed,
                "labels": {
                    # Sets at hand have no other name.
                    "dataset": [each if isinstance(each, str) else each.name for each in _list(dataset)],
                    "root": [str(each) for each in _list(root)] if root is not None else None,
                    "splits": list(splits),
                    "within_category": within_category,
                    "parts": list(parts),
                    "steadiness": steadiness,
                },
                **_whole_network(
                    model, encoder_of(found), stem_rate, folder, len(labels.images), epochs, batch_size, learning_rate
                ),
            }
            recipe = validated(values, {"": "finetune"})
            run = train_recipe(recipe, resume=resume, progress=progress, labels=labels)
            scorer = run.model.labels.scorer(run.model.encoder)
        stack.enter_context(run_log(Display(1, enabled=progress)))
        if not whole:
            label_range = None if drawn else labels.images.score_range
            scorer = ComplexityScorer(encoder_of(found), LinearHead(parts, label_range))
            fit_scorer(scorer, labels, steadiness, seed, batch_size)
        if output is not None:
            save_model(scorer, output)
            log.info(f"{output}: a ComplexityScorer; next: clicv2-keras evaluate {output} --dataset …")
    return scorer


def _list(values):
    return list(values) if isinstance(values, list | tuple) else [values]


def _named(encoder, folder):
    """The `.keras` file that a model at hand is begun from, in its run's folder."""
    from clicv2_keras.models.find_model import encoder_of, find_model
    from clicv2_keras.utils.atomic_files import save_model

    path = folder / "start.keras"
    if not (folder / "recipe.yaml").exists():
        save_model(encoder, path)
        return path
    before, now = encoder_of(find_model(path)).get_weights(), encoder.get_weights()
    if len(before) != len(now) or not all(map(np.array_equal, before, now)):
        raise UserError(f"{folder}: holds the run of another model; name another run_dir")
    return path


def _whole_network(model, encoder, stem_rate, folder, count, epochs, batch_size, learning_rate):
    """The other sections of the recipe that trains a whole network on `count` labelled images."""
    if not isinstance(model, str | Path):
        model = _named(encoder, folder)
    epoch = -(-count // batch_size)
    return {
        "data": {"image_size": encoder.image_size},
        "encoder": {
            "weights": str(model),
            "freeze_patch_projection": encoder.freeze_patch_projection,
            "stem_rate": stem_rate,
        },
        "contrast": {"level": "none"},
        "entropy": {"weight": 0},
        "optimizer": {"learning_rate": learning_rate, "weight_decay": 0.05, "warmup_steps": 0, "beta_2": 0.999},
        "train": {"batch_size": batch_size, "steps": epochs * epoch},
        "run": {"dir": str(folder), "log_every": epoch, "checkpoint_every": epoch},
    }
