import contextlib
import errno
import os

import tensorflow as tf


class EventWriter:
    """Writes what TensorBoard shows.

    Args:
        folder: made where it is missing.
    """

    def __init__(self, folder):
        self.folder = folder
        self.writer = tf.summary.create_file_writer(str(folder))

    def add_row(self, row):
        """A curve for each figure of a row of `metrics.csv`."""
        with self._writing():
            for name, value in row.items():
                if name != "step":
                    tf.summary.scalar(name, value, step=row["step"])

    def add_picture(self, name, pixels, step):
        """uint8 (H, W, 3)."""
        with self._writing():
            tf.summary.image(name, pixels[None], step=step)

    @contextlib.contextmanager
    def _writing(self):
        try:
            with self.writer.as_default():
                yield
            self.writer.flush()
        except tf.errors.OpError as error:
            number = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
            raise OSError(number, os.strerror(number), str(self.folder)) from error
