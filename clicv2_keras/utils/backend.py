"""The backend of Keras: chosen once a process, before keras is imported."""

import contextlib
import importlib.util
import os
import sys
import tempfile

from clicv2_keras.utils.errors import UserError, install_hint

BACKENDS = ("tensorflow", "jax", "torch")


def choose_backend(name=None):
    """Import keras on `name`: "tensorflow", "jax" or "torch"; None takes KERAS_BACKEND, or else tensorflow.

    Returns:
        The backend's name.

    Raises:
        UserError: where the backend is unknown or not installed, or keras already runs on another.
    """
    if "keras" in sys.modules:
        loaded = sys.modules["keras"].backend.backend()
        if name not in (None, loaded):
            raise UserError(f"backend: keras already runs on {loaded} here; start a new process to train on {name}")
        name = loaded
    name = name or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UserError(f"backend: {name} is not one; allowed are {', '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        extra = "train" if name == "tensorflow" else name
        raise UserError(f"backend: {name} is not installed; {install_hint(extra)}")
    os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_start():
        import tensorflow as tf

        if name != "tensorflow":
            # TensorFlow feeds the data on every backend, and would take the memory that the other one needs.
            tf.config.set_visible_devices([], "GPU")
        import keras  # noqa: F401
    return name


@contextlib.contextmanager
def _quiet_start():
    """Hold back what TensorFlow writes to stderr while it loads; TF_CPP_MIN_LOG_LEVEL only works afterwards."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
