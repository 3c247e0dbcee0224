"""What happens beside the training step: rows, checkpoints, and an end in good order."""

import math
import time

import keras

from clicv2_keras.data.pipeline import batch_indices
from clicv2_keras.utils.errors import UserError


class Diverged(UserError):
    """The loss or a weight is no number any more; the run cannot go on."""

    exit_code = 1


class Journal(keras.callbacks.Callback):
    """Tells of a row each log interval, and writes a checkpoint when one is due.

    An epoch of `fit` is a log interval here: an endless stream of images has no other.

    Args:
        folder: the `RunFolder`.
        display: the `Display`.
        stop: the `StopSignals`; training ends after the step in which one came.
        step: optimizer steps already done.
        source: the images, for their names.
        wait: the `DataWait` of the images.
        listeners: see `row_listeners`; each is told of the first row in so many steps, and of the last.
        devices: the `Devices`.
    """

    def __init__(self, folder, display, stop, step, source, wait, listeners, devices):
        super().__init__()
        self.folder = folder
        self.display = display
        self.stop = stop
        self.step = step
        self.source = source
        self.saved = step
        self.wait = wait
        self.devices = devices
        self.recipe = folder.recipe
        self.listeners = listeners

    def on_train_begin(self, logs=None):
        self.first_batch = True
        # What the checkpoint holds of a row that a stop cut in two; `fit` forgets it when the epoch begins.
        per_step = self.recipe.train.accumulate * self.devices.copies
        counted = int(keras.ops.convert_to_numpy(self.model.part_metrics[0].count))
        cut = 0 < counted == self.step % self.recipe.run.log_every * per_step
        self.sums = [keras.ops.convert_to_numpy(v) for v in self.model.metrics_variables] if cut else []

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in zip(self.model.metrics_variables, self.sums, strict=False):
            variable.assign(value)
        self.sums = []
        self._start_clock()

    def on_train_batch_end(self, batch, logs=None):
        # `batch` counts micro-batches, and an epoch is whole steps.
        done = (batch + 1) % self.recipe.train.accumulate == 0
        if not math.isfinite(logs["loss"]):
            self.step += 1
            raise self._diverged("the loss")
        if not done:
            return
        self.step += 1
        self.counted += 1
        if self.first_batch:
            # The first step compiles: its time says nothing of the speed.
            self.first_batch = False
            self._start_clock()
        self.display.step(self.step, logs)
        if self.stop.agreed(self.devices):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        last = self.recipe.train.steps
        if self.step % self.recipe.run.log_every and self.step != last:
            return  # Stopped inside an interval: the run that goes on writes its row.
        every = self.recipe.run.checkpoint_every
        row = {"step": self.step, **logs, **self._speed()}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        before = (self.step - 1) // self.recipe.run.log_every * self.recipe.run.log_every
        for interval, tell in self.listeners:
            if self.step // interval > before // interval or self.step == last:
                tell(row)
        if self.step // every > self.saved // every or self.step == last:
            self.checkpoint()

    def checkpoint(self):
        """Save the state after the latest step.

        Raises:
            Diverged: where a weight is not finite, so that the last good checkpoint stays the last.
        """
        if self.saved == self.step:
            return
        if not all(bool(keras.ops.all(keras.ops.isfinite(v))) for v in self.model.trainable_variables):
            raise self._diverged("a weight")
        if self.devices.process == 0:
            self.folder.checkpoints.save(self.model, self.step)
            self.folder.log(f"checkpoint at step {self.step}")
        self.saved = self.step

    def _start_clock(self):
        self.clock, self.waited, self.counted = time.perf_counter(), self.wait.seconds(), 0

    def _speed(self):
        if not self.counted:
            return {}
        seconds = time.perf_counter() - self.clock
        return {
            "images_per_second": self.counted * self.recipe.train.batch_size / seconds,
            "data_wait": min((self.wait.seconds() - self.waited) / seconds, 1.0),
        }

    def _diverged(self, what):
        batch = batch_indices(self.source, self.recipe.seed, self.step - 1, self.recipe.train.batch_size)
        names = [self.source.name(index) for index in batch]
        self.folder.write("diverged.txt", "".join(f"{name}\n" for name in names))
        more = f" and {len(names) - 3} more, all in diverged.txt" if len(names) > 3 else ""
        line = (
            f"{what} is not finite at step {self.step}, on {', '.join(names[:3])}{more}; "
            f"{self.folder.checkpoints.last()}; a lower optimizer.learning_rate may help"
        )
        self.folder.log(line)
        return Diverged(f"{self.folder.path}: {line}")
