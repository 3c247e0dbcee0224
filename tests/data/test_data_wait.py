import os
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from clicv2_keras.data.data_wait import DataWait

STEPS, PAUSE = 8, 0.05


class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(PAUSE)


def waited(producer_pause, callbacks):
    def produce(number):
        time.sleep(producer_pause)
        return np.ones((4, 1), "float32")

    def load(number):
        return tf.ensure_shape(tf.numpy_function(produce, [number], tf.float32), (4, 1))

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    batches = tf.data.Dataset.counter().map(load).map(lambda x: (x, x)).prefetch(2)
    model.fit(batches.take(2), verbose=0)  # compiles
    wait = DataWait()
    model.fit(wait.watch(batches), steps_per_epoch=STEPS, verbose=0, callbacks=callbacks)
    return wait.seconds()


def test_a_run_that_waits_for_its_producer_is_told_so():
    # Two batches may have been prefetched.
    assert waited(PAUSE, []) > (STEPS - 3) * PAUSE


def test_the_time_that_the_step_takes_is_no_waiting():
    assert waited(0, [Slow()]) < STEPS * PAUSE / 2


def test_batches_go_through_untouched():
    numbers = tf.data.Dataset.range(5)
    assert list(DataWait().watch(numbers).as_numpy_iterator()) == list(range(5))


@pytest.mark.slow
def test_the_data_come_where_tensorflow_refuses_what_may_not_repeat():
    """In a process of its own: what is refused once is refused until the end."""
    program = (
        "import itertools, time; from clicv2_keras.data.data_wait import DataWait; "
        "from clicv2_keras.data.pipeline import training_dataset; "
        "from clicv2_keras.data.sources import ProceduralSource; wait = DataWait(); "
        "dataset = wait.watch(training_dataset(ProceduralSource(8, 32), image_size=32, batch_size=4)); "
        "print([len(batch['view_a']) for batch in itertools.islice(dataset, 3)]); print(wait.seconds() > 0)"
    )
    environment = os.environ | {"TF_DETERMINISTIC_OPS": "1"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[4, 4, 4]\nTrue\n"
