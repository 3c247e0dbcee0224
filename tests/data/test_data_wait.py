import itertools
import time

import tensorflow as tf

from clicv2_keras.data.data_wait import DataWait


def slow(number):
    time.sleep(0.05)
    return number


def test_the_wait_for_a_slow_producer_is_counted():
    wait = DataWait()
    numbers = tf.data.Dataset.range(100).map(lambda n: tf.numpy_function(slow, [n], tf.int64)).prefetch(2)
    assert list(itertools.islice(wait.watch(numbers).as_numpy_iterator(), 6)) == list(range(6))
    assert wait.seconds() >= 6 * 0.05


def test_the_time_that_the_consumer_takes_is_not():
    wait = DataWait()
    for _ in itertools.islice(wait.watch(tf.data.Dataset.range(100).prefetch(2)), 6):
        time.sleep(0.1)
    assert wait.seconds() < 5 * 0.1
