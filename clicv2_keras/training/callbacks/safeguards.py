"""How a run keeps what it has: checkpoints, none of them broken, and an end in good order."""

import logging
import math

import keras

from clicv2_keras.data.pipeline import batch_indices
from clicv2_keras.training.callbacks.interval import RowCallback
from clicv2_keras.utils.errors import Diverged

log = logging.getLogger(__name__)


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends the run where a loss is no number; stands before the `Interval`.

    Args:
        folder: the `RunFolder`; its `diverged.txt` gets the names of the step's images.
        interval: the `Interval`.
        source: the images, for their names.
    """

    def __init__(self, folder, interval, source):
        super().__init__()
        self.folder = folder
        self.interval = interval
        self.source = source

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise self.diverged("the loss", self.interval.step + 1)

    def check_weights(self):
        """Raise `Diverged` where a weight is not finite."""
        if not all(bool(keras.ops.all(keras.ops.isfinite(v))) for v in self.model.trainable_variables):
            raise self.diverged("a weight", self.interval.step)

    def diverged(self, what, step):
        """The error, told to the log as well."""
        recipe = self.folder.recipe
        batch = batch_indices(self.source, recipe.seed, step - 1, recipe.train.batch_size)
        names = [self.source.name(index) for index in batch]
        self.folder.write("diverged.txt", "".join(f"{name}\n" for name in names))
        more = f" and {len(names) - 3} more, all in diverged.txt" if len(names) > 3 else ""
        line = (
            f"{what} is not finite at step {step}, on {', '.join(names[:3])}{more}; "
            f"{self.folder.checkpoints.last()}; a lower optimizer.learning_rate may help"
        )
        log.debug(line)
        return Diverged(f"{self.folder.path}: {line}")


class CheckpointWriter(RowCallback):
    """Writes a checkpoint each `run.checkpoint_every` steps, and at the end; stands behind the `Tell`.

    Args:
        folder: the `RunFolder`.
        interval: the `Interval`.
        guard: the `StopOnNonFinite`: the last good checkpoint shall stay the last.
    """

    def __init__(self, folder, interval, guard):
        super().__init__(interval, folder.recipe.run.checkpoint_every)
        self.folder = folder
        self.guard = guard
        self.saved = interval.step

    def on_row(self, row):
        self.save()

    def save(self):
        """Write the state after the latest step, unless it is written already."""
        step = self.interval.step
        if self.saved != step:
            self.guard.check_weights()
            self.folder.save_checkpoint(self.model, step)
            log.debug("checkpoint at step %d", step)
            self.saved = step


class StopOnSignal(keras.callbacks.Callback):
    """Ends `fit` after the step in which a signal came; stands behind the `Interval`.

    Args:
        interval: the `Interval`.
        stop: the `StopSignals`.
        devices: the `Devices`, whose processes stop together.
    """

    def __init__(self, interval, stop, devices):
        super().__init__()
        self.interval = interval
        self.stop = stop
        self.devices = devices

    def on_train_batch_end(self, batch, logs=None):
        if self.interval.step_ended and self.stop.agreed(self.devices):
            self.model.stop_training = True
