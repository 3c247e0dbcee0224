import time

from clicv2_keras.data.host_calls import HostCalls


class DataWait:
    """Counts how long the consumer of a dataset stands waiting for batches; the same on every backend."""

    def __init__(self):
        import tensorflow as tf

        with tf.device("CPU:0"):
            self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    def watch(self, dataset):
        """The same `tf.data.Dataset`, its waits counted."""
        import tensorflow as tf

        host = HostCalls.shared()
        now = tf.timestamp
        # Where all must repeat bit by bit TensorFlow refuses its own clock.
        if tf.config.experimental.is_op_determinism_enabled():

            def now():
                return tf.numpy_function(host.counted(time.time), [], tf.float64)

        def count(asked, batch):
            self._seconds.assign_add(now() - asked)
            return batch

        # A zip asks its parts one after the other, in the consumer's thread: the clock, then the batch.
        clock = host.until_exit(tf.data.Dataset.counter()).map(lambda _: now())
        watched = tf.data.Dataset.zip(clock, dataset).map(count)
        options = tf.data.Options()
        # Else TensorFlow would ask ahead of the consumer.
        options.experimental_optimization.inject_prefetch = False
        return watched.with_options(options)

    def seconds(self):
        """So far."""
        return float(self._seconds.numpy())
