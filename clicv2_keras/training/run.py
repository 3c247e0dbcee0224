"""A training run, from a recipe to a run folder."""

import contextlib
from typing import NamedTuple

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.training.broken_off import in_one_line
from clicv2_keras.training.callbacks.wandb_log import WandbLog, check_wandb
from clicv2_keras.training.checkpoints import find_checkpoint
from clicv2_keras.training.display import Display
from clicv2_keras.training.plan import micro_batches
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.training.skipped_images import SkippedImages
from clicv2_keras.training.source import probe_source, recipe_source
from clicv2_keras.training.stop_signals import StopSignals
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.errors import UserError


class Interrupted(UserError):
    """A signal ended the run in good order; its exit code is the shell's for that signal."""

    def __init__(self, message, signal):
        super().__init__(message)
        self.exit_code = 128 + signal


class TrainedRun(NamedTuple):
    """What `train` returns: the `CLICv2` model, the `RunFolder`, and the figures of `known_complexity`, or None."""

    model: object
    folder: RunFolder
    table: dict | None


def train(recipe, overrides=(), resume=False, progress=True, begin=None):
    """Train a model as a recipe says, and leave a run folder.

    Args:
        recipe: a path, the name of a shipped recipe, or a `Recipe`.
        overrides: strings `section.key=value` in place of the file's values.
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
        BrokenOff: where the disk is full or the images are gone; `resume` goes on from the last checkpoint.
        Interrupted: after SIGTERM or Ctrl-C, with a checkpoint saved.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    source, asked = recipe_source(recipe), probe_source(recipe)
    begin = find_checkpoint(begin, recipe.train.steps) if begin else None
    check_wandb(recipe)
    choose_backend(recipe.backend)
    from clicv2_keras.data.data_wait import DataWait
    from clicv2_keras.training.build import build_dataset, build_model, measure_images
    from clicv2_keras.training.callbacks.held_out_guide import held_out_guide
    from clicv2_keras.training.callbacks.journal import Journal
    from clicv2_keras.training.callbacks.row_listeners import row_listeners
    from clicv2_keras.training.devices import Devices

    devices = Devices(recipe)
    folder = RunFolder(recipe, devices.process)
    start, broken = open_together(folder, resume, devices, begin)
    with devices.building():
        model = build_model(recipe)
        if start:
            folder.checkpoints.load(model, start)
    steps, accumulate = recipe.train.steps, recipe.train.accumulate
    skipped = SkippedImages(folder, source)
    if not start:
        measure_images(model, recipe, source, skipped)
    held_out = held_out_guide(model, recipe) if not devices.process else None
    probe = _probe(asked, folder, start) if asked else None

    with in_one_line(folder, skipped):
        uploaded = WandbLog(folder) if recipe.run.wandb and not devices.process else contextlib.nullcontext()
        shown = progress and not devices.process
        with Display(steps, start, shown) as display, StopSignals() as stop, uploaded as wandb:
            for line in broken:
                folder.log(line)
                display.say(line)
            folder.log(f"{recipe.name} on {devices}, {len(source)} images, from step {start} to {steps}")
            display.say(f"{recipe.name}: {len(source)} images, {steps - start} steps on {devices}, into {folder.path}")
            if accumulate > 1:
                line = micro_batches(recipe)
                folder.log(line)
                display.say(line)
            wait = DataWait()
            listeners = (
                row_listeners(model, folder, display, source, skipped, probe, wandb, held_out)
                if not devices.process
                else []
            )
            journal = Journal(folder, display, stop, start, source, wait, listeners, devices)
            for first, length, epochs in spans(start, steps, recipe.run.log_every):
                images = wait.watch(build_dataset(recipe, source, first, skipped, devices))
                batches = length * accumulate
                settings = {"steps_per_epoch": batches, "epochs": epochs, "shuffle": False, "verbose": 0}
                with devices.fitting():
                    model.fit(images, callbacks=[journal], **settings)
                if stop.agreed(devices):
                    journal.checkpoint()
                    line = f"stopped at step {journal.step} of {steps}; the same command with --resume goes on"
                    folder.log(line)
                    raise Interrupted(f"{folder.path}: {line}", stop.requested)
            if skipped.names:
                line = f"{len(skipped.names)} unreadable images were skipped; log.txt names them"
                folder.log(line)
                display.say(line)
        folder.save(model.encoder, "encoder.keras")
        if (average := model.averaged_encoder()) is not None:
            folder.save(average, "encoder_ema.keras")
        folder.save(model, "model.keras")
        if folder.rows:
            folder.plot()
    if probe and probe.best:
        line = f"best of the probe: SRCC {probe.best['SRCC']:.6g} at step {probe.best['step']}, encoder_best.keras"
        folder.log(line)
        display.say(line)
    table = None
    if recipe.data.source == "procedural" and not devices.process:
        from clicv2_keras.training.known_complexity import for_people, known_complexity

        table = known_complexity(recipe, model)
        columns = ("features", "PCC", "SRCC")
        shown, lines = for_people(table)
        display.table("Known complexity of unseen procedural images", columns, shown)
        for row in shown:
            folder.log("  ".join(row))
        for line in lines:
            folder.log(line)
            display.say(line)
    folder.log("done")
    display.say(f"Done: {folder.path} holds encoder.keras, metrics.csv, losses.png and more.")
    display.say(f"Next: clicv2-keras evaluate {folder.path} --dataset … or clicv2-keras export {folder.path}")
    return TrainedRun(model, folder, table)


def _probe(asked, folder, start):
    """The `ComplexityProbe` of the labelled images `asked`."""
    from clicv2_keras.training.callbacks.complexity_probe import ComplexityProbe

    data, split = asked
    probe = ComplexityProbe(data, folder=folder.path, split=split)
    probe.begin(start)
    return probe


def open_together(folder, resume, devices, begin=None):
    """Process 0 opens the run folder, and tells the others where to go on from.

    Raises:
        UserError: as `RunFolder.open` does, in process 0; in the others, that it did.
    """
    start, broken = -1, []
    try:
        if devices.process == 0:
            start, broken = folder.open(resume, begin)
    finally:
        start = devices.largest(start)
    if start < 0:
        raise UserError(f"{folder.path}: process 0 could not open the run; its message says why")
    return start, broken


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
