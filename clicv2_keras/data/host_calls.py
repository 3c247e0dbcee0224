import atexit
import functools
import threading
import time


class HostCalls:
    """Stops the Python functions of tf.data pipelines before the interpreter stops.

    A thread of tf.data that asks for the interpreter while it shuts down is killed, and an iterator that is still alive
    then waits for that thread for ever: the process would not end (TensorFlow 2.21). So at exit no new calls begin,
    and those that run are waited for.
    """

    def __init__(self):
        import tensorflow as tf

        with tf.device("CPU:0"):
            self.open = tf.Variable(True, trainable=False)
        self._running = 0
        self._lock = threading.Lock()
        atexit.register(self.close)

    @classmethod
    @functools.cache
    def shared(cls):
        """The one of this process."""
        return cls()

    def until_exit(self, numbers):
        """The `tf.data.Dataset` that ends at exit."""
        return numbers.take_while(lambda number: self.open)

    def counted(self, function):
        """The same function, waited for at exit."""

        def call(*args):
            with self._lock:
                self._running += 1
            try:
                return function(*args)
            finally:
                with self._lock:
                    self._running -= 1

        return call

    def close(self):
        """Let the running calls end, with a moment for those on their way."""
        self.open.assign(False)
        quiet = 0
        while quiet < 10:
            time.sleep(0.01)
            quiet = 0 if self._running else quiet + 1
