"""What is asked for a row of `metrics.csv` now and then, and who is told of it."""

import contextlib
import logging

from clicv2_keras.training.callbacks.interval import RowCallback
from clicv2_keras.training.callbacks.pictures import Pictures
from clicv2_keras.training.weight_average import averaged

log = logging.getLogger(__name__)
# Before the columns that are of the weights' average.
AVERAGE = "average_"

# Column, what it is called on the screen, and how it is written.
_SHOWN = (
    ("loss", "loss", "{:.3f}"),
    ("contrastive_loss", "contrast", "{:.3f}"),
    ("entropy_loss", "entropy", "{:.3f}"),
    ("guide_loss", "guide", "{:.3f}"),
    ("label_loss", "labels", "{:.4f}"),
    ("embedding_std", "spread", "{:.2f}"),
    ("effective_rank", "rank", "{:.1f}"),
    ("retrieval", "retrieval", "{:.2f}"),
    ("layout_retrieval", "by layout", "{:.2f}"),
    ("images_per_second", "images/s", "{:.0f}"),
    ("data_wait", "waits for data", "{:.0%}"),
    ("probe_srcc", "probe SRCC", "{:.3f}"),
)


def held_out_reports(interval, recipe, held_out):
    """The callbacks that add to a row what a `HeldOutGuide` finds; none where it is None.

    For every process of a run: what one computed alone with the variables of all, the others would wait for.
    """
    if held_out is None:
        return []
    found = [Ask(interval, recipe.probe.every, held_out.ask)]
    if recipe.optimizer.average:
        found.append(Ask(interval, recipe.probe.every, held_out.ask, AVERAGE))
    return found


def reports(interval, folder, model, source, skipped, display, events, probes=None, wandb=None):
    """The callbacks of the first process that add to a row, and then those that tell it, in their order.

    Args:
        interval: the `Interval`.
        folder: the `RunFolder`.
        model: the `CLICv2`.
        source: the images of the run.
        skipped: the `SkippedImages`.
        display: the `Display`.
        events: the `EventWriter`.
        probes: dict of `ComplexityProbe`: "" that of the weights, `AVERAGE` that of their average.
        wandb: a `WandbLog`, or None.
    """
    recipe, found = folder.recipe, []
    for prefix, probe in (probes or {}).items():
        found.append(AskProbe(interval, recipe.probe.every, probe, prefix))
    found += [Tell(interval, folder.add_row), Tell(interval, events.add_row), ShowProgress(interval, display)]
    if wandb:
        found.append(Tell(interval, wandb.add_row))
    if recipe.run.images_every:
        pictures = Pictures(recipe, model, source, skipped)

        def add_picture(row):
            events.add_picture("what the model sees", pictures.draw(), row["step"])

        found.append(Tell(interval, add_picture, recipe.run.images_every))
    return found


class Tell(RowCallback):
    """Gives rows to a function."""

    def __init__(self, interval, function, every=1):
        super().__init__(interval, every)
        self.on_row = function


class Ask(RowCallback):
    """Adds to rows what a function of the model finds, a dict: of the model as it is, or of its weights' average.

    Args:
        prefix: of the columns: "", or `AVERAGE`.
    """

    def __init__(self, interval, every, function, prefix=""):
        super().__init__(interval, every)
        self.function = function
        self.prefix = prefix

    def on_row(self, row):
        with averaged(self.model) if self.prefix else contextlib.nullcontext():
            found = self.function(self.model)
        row |= {f"{self.prefix}{name}": value for name, value in found.items()}


class AskProbe(Ask):
    """Adds to rows what a `ComplexityProbe` finds, and logs it."""

    def __init__(self, interval, every, probe, prefix=""):
        super().__init__(interval, every, lambda model: probe.ask(model, self.interval.step), prefix)
        self.probe = probe

    def on_row(self, row):
        super().on_row(row)
        probe, step = self.probe, row["step"]
        whose, file = "probe", "encoder_best.keras"
        if self.prefix:
            whose, file = "probe of the average", f"{probe.folder.name}/{file}"
        last = probe.rows[-1]
        best = f"the best so far, {file}" if probe.best is last else "not the best"
        figures = f"PCC {last['PCC']:.4f}, SRCC {last['SRCC']:.4f}"
        without = f"; without {len(probe.unreadable)} unreadable images" if probe.unreadable else ""
        log.debug("%s at step %d: %s; %s%s", whose, step, figures, best, without)
        if step == self.interval.recipe.train.steps and (top := probe.best):
            log.info(f"best of the {whose}: SRCC {top['SRCC']:.6g} at step {top['step']}, {file}")


class ShowProgress(RowCallback):
    """Moves the bar with each step; a line a row where there is none."""

    def __init__(self, interval, display):
        super().__init__(interval)
        self.display = display
        self.speed = {}

    def on_train_batch_end(self, batch, logs=None):
        if self.interval.step_ended:
            self.display.update(self.interval.step, _line(logs | self.speed))

    def on_row(self, row):
        self.speed = {key: row[key] for key in ("images_per_second", "data_wait") if key in row}
        if not self.display.has_bar:
            self.display.say(f"step {row['step']}/{self.interval.recipe.train.steps}  {_line(row)}")


def _line(values):
    return "  ".join(f"{label} {form.format(values[key])}" for key, label, form in _SHOWN if key in values)
