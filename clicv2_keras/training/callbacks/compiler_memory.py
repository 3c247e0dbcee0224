"""The memory that compiling a step took, given back."""

import ctypes
import sys

import keras


class GiveBackCompilerMemory(keras.callbacks.Callback):
    """Hands back to the system, after the first step, what its compilation has freed.

    glibc keeps that to itself, for hours of a run (benchmarks/results/step_memory.md says how much). Nothing happens
    where the C library is another.
    """

    def __init__(self):
        super().__init__()
        self._is_due = sys.platform == "linux"

    def on_train_batch_end(self, batch, logs=None):
        if self._is_due:
            self._is_due = False
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)
