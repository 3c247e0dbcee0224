"""A training run, from a recipe to a run folder."""

import contextlib
import json
import logging
from collections.abc import Sequence
from typing import NamedTuple

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.schema import Data, Recipe
from clicv2_keras.recipe.shapes import PIXELS
from clicv2_keras.training.callbacks.wandb_log import WandbLog, check_wandb
from clicv2_keras.training.plan import micro_batches
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.training.run_log import run_log
from clicv2_keras.training.skipped_images import SkippedImages, losses_in_one_line
from clicv2_keras.training.source import label_sets, packed_targets, probe_sets, recipe_source
from clicv2_keras.training.stop_signals import StopSignals
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.display import Display
from clicv2_keras.utils.errors import Interrupted, RunAborted, UserError
from clicv2_keras.utils.paths import StrPath

log = logging.getLogger(__name__)


class TrainedRun(NamedTuple):
    """What `train` returns: the `CLICv2` model, the `RunFolder`, and the figures of `known_complexity`, or None."""

    model: object
    folder: RunFolder
    table: dict | None


def train(
    recipe: Recipe | StrPath,
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool = True,
    begin: StrPath | None = None,
) -> "TrainedRun":
    """Train a model as a recipe says, and leave a run folder.

    Args:
        recipe: a path, the name of a shipped recipe, or a `Recipe`.
        overrides: strings `section.key=value` in place of the recipe's values.
        resume: go on from the folder's last checkpoint; start where there is none.
        progress: show the progress.
        begin: another run's folder, or FOLDER@STEP: start from its checkpoint of that step, by default its newest, and
            go on to `train.steps` in a folder of this run's own: to let the learning rate decay, say. The other run is
            left as it was. The model must be the same.

    Returns:
        `TrainedRun(model, folder, table)`.

    Raises:
        UserError: one line on what is wrong with the recipe, its images or its folder.
        Diverged: where the loss is no number any more.
        ResourceLost: where the disk is full or the images are gone; `resume` goes on from the last checkpoint.
        Interrupted: after SIGTERM or Ctrl-C, with a checkpoint saved.
    """
    return train_recipe(load_recipe(recipe, overrides), resume=resume, progress=progress, begin=begin)


def train_recipe(recipe, *, resume=False, progress=True, begin=None, labels=None):
    """Train as a `Recipe` says, as `train` does; `labels` are the `JointSets` at hand in place of those it names."""
    labels = labels or label_sets(recipe)
    source = recipe_source(recipe) if recipe.reads_images else labels.images.source
    probed = probe_sets(recipe, labels)
    begin = RunFolder(recipe).find_begin(begin, resume)
    check_wandb(recipe)
    # Whoever goes on must take the same: each draws other numbers from a seed.
    recipe = recipe.model_copy(update={"backend": choose_backend(recipe.backend)})
    from clicv2_keras.training.batches import measure_images
    from clicv2_keras.training.build import build_model, with_shape
    from clicv2_keras.training.devices import Devices
    from clicv2_keras.training.fit_scorer import start_label_branch
    from clicv2_keras.training.run_inputs import NAME as INPUTS
    from clicv2_keras.training.run_inputs import check_inputs, run_inputs

    devices = Devices(recipe)
    # What the shape of its weights demands of other keys shows before there is a folder.
    packed_targets(recipe if recipe.encoder.weights is None else with_shape(recipe)[0])
    folder = RunFolder(recipe, devices.process)
    start, broken = open_together(folder, resume, devices, begin)
    # Labelled images need not lie where the recipe's own do.
    skipped = SkippedImages(recipe.data if recipe.reads_images else Data(), source)
    display = Display(recipe.train.steps, start, "compiling the step", progress and folder.is_first)
    told = run_log(display, folder)
    closing = contextlib.closing(folder)
    with closing, display, told, _precision_kept(), losses_in_one_line(folder, skipped), StopSignals() as stop:
        for line in broken:
            log.info(line)
        try:
            inputs = run_inputs(source, labels)
            if line := check_inputs(folder, inputs):
                log.info(line)
            else:
                folder.write(INPUTS, json.dumps(inputs) + "\n")
            with devices.building():
                model = build_model(recipe, labels)
                if start:
                    folder.checkpoints.load(model, start)
                    _check_steps(model, folder, start)
                else:
                    measure_images(model, recipe, source, skipped, labels)
                if labels:
                    start_label_branch(model, labels, recipe, resumed=start > 0)
            fit(model, folder, start, source, labels, probed, skipped, devices, stop, display)
        except UserError as error:
            if not isinstance(error, RunAborted) and not folder.rows:
                folder.withdraw()
            raise
        return TrainedRun(model, folder, finish(model, folder, source, skipped, display))


@contextlib.contextmanager
def _precision_kept():
    """Context that leaves Keras's policy as it was: what a notebook builds after a run has a precision of its own."""
    import keras

    before = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _check_steps(model, folder, start):
    """See that the optimizer counts as the run does: else its rate would be that of another step."""
    from clicv2_keras.models.optimizer import steps_taken

    counted = steps_taken(model.optimizer)
    if counted != start:
        raise UserError(
            f"{folder.path}: train.accumulate: by {folder.recipe.train.accumulate} the checkpoint of step {start} is "
            f"of step {counted}; take the number of the run that it is of"
        )


def open_together(folder, resume, devices, begin=None):
    """The first process opens the run folder, and tells the others where to go on from.

    Raises:
        UserError: as `RunFolder.open` does, in the first process; in the others, that it did.
    """
    start, broken = -1, []
    try:
        if folder.is_first:
            start, broken = folder.open(resume, begin)
    finally:
        start = devices.largest(start)
    if start < 0:
        raise UserError(f"{folder.path}: process 0 could not open the run; its message says why")
    return start, broken


def fit(model, folder, start, source, labels, probed, skipped, devices, stop, display):
    """Train from step `start` to the recipe's last one; the arguments as `train_recipe` makes them.

    Raises:
        Diverged, Interrupted: as `train` does.
    """
    from clicv2_keras.data.data_wait import DataWait
    from clicv2_keras.training.batches import build_dataset
    from clicv2_keras.training.callbacks.compiler_memory import GiveBackCompilerMemory
    from clicv2_keras.training.callbacks.held_out_guide import held_out_guide
    from clicv2_keras.training.callbacks.interval import Interval
    from clicv2_keras.training.callbacks.reports import held_out_reports
    from clicv2_keras.training.callbacks.safeguards import CheckpointWriter, StopOnNonFinite, StopOnSignal

    recipe, steps = folder.recipe, folder.recipe.train.steps
    where = f"{steps - start} steps on {devices}, into {folder.path}"
    log.info(f"{recipe.name}: {len(source)} images, from step {start}: {where}")
    if recipe.train.accumulate > 1:
        log.info(micro_batches(recipe))
    wait = DataWait()
    interval = Interval(recipe, start, wait, devices.copies)
    guard = StopOnNonFinite(folder, interval, source)
    checkpoints = CheckpointWriter(folder, interval, guard)
    with contextlib.ExitStack() as told:
        of_rows = held_out_reports(interval, recipe, held_out_guide(model, recipe))
        if folder.is_first:
            of_rows += _reports(model, folder, interval, source, probed, skipped, display, told)
        # The checkpoint is of a step whose row is written.
        last = [checkpoints, StopOnSignal(interval, stop, devices), GiveBackCompilerMemory()]
        callbacks = [guard, interval, *of_rows, *last]
        for first, length, epochs in spans(start, steps, recipe.run.log_every):
            batches = wait.watch(build_dataset(recipe, source, first, skipped, devices, labels=labels))
            settings = {"steps_per_epoch": length * recipe.train.accumulate, "epochs": epochs}
            with devices.fitting():
                model.fit(batches, callbacks=callbacks, shuffle=False, verbose=0, **settings)
            if stop.agreed(devices):
                checkpoints.save()
                line = f"stopped at step {interval.step} of {steps}; the same command with --resume goes on"
                log.debug(line)
                raise Interrupted(f"{folder.path}: {line}", stop.requested)


def _reports(model, folder, interval, source, probed, skipped, display, told):
    """The callbacks of the first process alone; `told` closes what they write to."""
    from clicv2_keras.training.callbacks.complexity_probe import ComplexityProbe
    from clicv2_keras.training.callbacks.event_writer import EventWriter
    from clicv2_keras.training.callbacks.reports import AVERAGE, reports

    probes = {}
    if probed:
        split = folder.recipe.probe.split
        probes[""] = ComplexityProbe(probed, folder=folder.path, split=split)
        if folder.recipe.optimizer.average:
            probes[AVERAGE] = ComplexityProbe(probed, folder=folder.path / "average", split=split)
        for probe in probes.values():
            probe.begin(interval.step)
    events = told.enter_context(contextlib.closing(EventWriter(folder.path / "tensorboard", interval.step)))
    wandb = told.enter_context(WandbLog(folder)) if folder.recipe.run.wandb else None
    return reports(interval, folder, model, source, skipped, display, events, probes, wandb)


def finish(model, folder, source, skipped, display):
    """Save what the run has learnt, and say where it is; returns the table of known complexity, or None."""
    from clicv2_keras.training.weight_average import averaged_encoder

    recipe = folder.recipe
    if skipped.names:
        log.info(f"{len(skipped.names)} unreadable images were skipped; log.txt names them")
    judged = folder.path
    if model.labels is not None:
        model.labels.fold()
        folder.save(model.labels.scorer(model.encoder), "scorer.keras")
    elif recipe.guide.teacher == PIXELS and folder.is_first:
        from clicv2_keras.training.pixel_scorer import pixel_scorer

        if (scorer := pixel_scorer(model.encoder, source, recipe)) is not None:
            folder.save(scorer, "scorer.keras")
            judged = folder.path / "scorer.keras"  # of the folder itself the score is the label-free one
    folder.save(model.encoder, "encoder.keras")
    if (average := averaged_encoder(model)) is not None:
        folder.save(average, "encoder_ema.keras")
    folder.save(model, "model.keras")
    if not folder.is_first:
        return None
    if folder.rows:
        folder.plot()
    table = None
    if recipe.reads_images and recipe.data.source == "procedural":
        from clicv2_keras.training.known_complexity import for_people, known_complexity

        table = known_complexity(recipe, model)
        shown, lines = for_people(table)
        display.table("Known complexity of unseen procedural images", ("features", "PCC", "SRCC"), shown)
        for row in shown:
            log.debug("  ".join(row))
        for line in lines:
            log.info(line)
    log.info(f"Done: {folder.path} holds encoder.keras, metrics.csv, losses.png and more.")
    log.info(f"Next: clicv2-keras evaluate {judged} --dataset … or clicv2-keras export {judged}")
    return table


def spans(start, steps, interval):
    """Cut the steps from `start` on into calls of `fit`: yield (first step, steps an epoch, epochs).

    Whole intervals in one call; before them what a stop inside an interval left over, after them the remainder.
    """
    head = min(-start % interval, steps - start)
    if head:
        yield start, head, 1
        start += head
    whole = (steps - start) // interval
    if whole:
        yield start, interval, whole
        start += whole * interval
    if start < steps:
        yield start, steps - start, 1
