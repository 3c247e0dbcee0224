import os
import sys

import pytest

from clicv2_keras.training.callbacks.compiler_memory import GiveBackCompilerMemory


def resident():
    """MB of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc, and other C libraries keep nothing back that is asked for"
)
def test_what_is_freed_goes_back_after_the_first_step():
    callback, last = GiveBackCompilerMemory(), []

    def free_a_lot():
        blocks = [b"%d" % number * 200 for number in range(100_000)]
        last.append(blocks[-1])  # The heap cannot shrink below it by itself.

    free_a_lot()
    before = resident()
    callback.on_train_batch_end(0)
    assert resident() < before - 50
    free_a_lot()
    before = resident()
    callback.on_train_batch_end(1)
    assert resident() > before - 5
