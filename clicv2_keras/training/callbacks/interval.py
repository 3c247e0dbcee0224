"""A log interval: an epoch of `fit` for a run, whose stream of images has no other, and a row of `metrics.csv`."""

import time

import keras


class Interval(keras.callbacks.Callback):
    """First of a run's callbacks: counts its steps, and adds to an epoch's logs what makes them a row.

    `step` are the optimizer's steps so far, `step_ended` says whether the latest micro-batch ended one. A row is the
    metrics' means, `step`, `learning_rate`, `images_per_second` and `data_wait`, floats but for the step; callbacks
    before the `Tell` may add to it.

    Args:
        recipe: the `Recipe`.
        step: optimizer steps already done.
        wait: the `DataWait` of the images.
        copies: how many times a metric counts a batch; see `Devices`.
    """

    def __init__(self, recipe, step, wait, copies=1):
        super().__init__()
        self.recipe = recipe
        self.step = step
        self.step_ended = False
        self.wait = wait
        self.copies = copies

    def due(self, every):
        """Whether a row ends now, and is the first in so many steps or the last of the run."""
        length, last = self.recipe.run.log_every, self.step == self.recipe.train.steps
        if self.step % length and not last:
            return False  # Stopped inside an interval: the run that goes on writes its row.
        before = (self.step - 1) // length * length
        return last or self.step // every > before // every

    def on_train_begin(self, logs=None):
        self.first_batch = True
        # What the checkpoint holds of a row that a stop cut in two; `fit` forgets it when the epoch begins.
        per_step = self.recipe.train.accumulate * self.copies
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
        self.step_ended = (batch + 1) % self.recipe.train.accumulate == 0
        if not self.step_ended:
            return
        self.step += 1
        self.counted += 1
        if self.first_batch:
            # The first step compiles: its time says nothing of the speed.
            self.first_batch = False
            self._start_clock()

    def on_epoch_end(self, epoch, logs=None):
        logs["step"] = self.step
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        if self.counted:
            seconds = time.perf_counter() - self.clock
            logs["images_per_second"] = self.counted * self.recipe.train.batch_size / seconds
            logs["data_wait"] = min((self.wait.seconds() - self.waited) / seconds, 1.0)

    def _start_clock(self):
        self.clock, self.waited, self.counted = time.perf_counter(), self.wait.seconds(), 0


class RowCallback(keras.callbacks.Callback):
    """Base of what is told of rows: `on_row(row)` gets the first in so many steps, and the last of the run.

    Args:
        interval: the `Interval` of the run.
        every: steps.
    """

    def __init__(self, interval, every=1):
        super().__init__()
        self.interval = interval
        self.every = every

    def on_epoch_end(self, epoch, logs=None):
        if self.interval.due(self.every):
            self.on_row(logs)
