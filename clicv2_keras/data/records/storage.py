"""Bytes from a local path, or from object storage through TensorFlow's file systems (`gs://bucket/folder`)."""

import os

from clicv2_keras.utils.errors import UserError


def is_remote(path):
    return "://" in os.fspath(path)


def join(root, name):
    return f"{root}/{name}" if is_remote(root) else os.path.join(os.path.expanduser(root), name)


def read_bytes(path):
    """The whole file.

    Raises:
        FileNotFoundError: where there is none.
        UserError: where the storage cannot be reached.
    """
    if not is_remote(path):
        with open(path, "rb") as stream:
            return stream.read()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as stream:
            return stream.read()
    except tf.errors.NotFoundError:
        raise FileNotFoundError(path) from None
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())
        raise UserError(f"{path}: {reason}; mend the access, or copy the folder here") from None
