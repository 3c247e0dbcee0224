"""The backend of Keras: chosen once a process, before keras is imported."""

import importlib.util
import os
import sys

from clicv2_keras.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")


def choose_backend(name=None):
    """Make keras run on `name`: "tensorflow", "jax" or "torch"; None takes KERAS_BACKEND, or else tensorflow.

    Raises:
        UserError: where the backend is unknown or not installed, or keras already runs on another.
    """
    if "keras" in sys.modules:
        loaded = sys.modules["keras"].backend.backend()
        if name not in (None, loaded):
            raise UserError(f"backend: keras already runs on {loaded} here; start a new process to train on {name}")
        name = loaded
    # Less chatter at TensorFlow's start; what goes wrong is still told.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    name = name or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UserError(f"backend: {name} is not one; allowed are {', '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        extra = "train" if name == "tensorflow" else name
        raise UserError(f"backend: {name} is not installed; pip install 'clicv2-keras[{extra}]'")
    os.environ["KERAS_BACKEND"] = name
    if name != "tensorflow":
        _keep_tensorflow_off_the_accelerator()
    return name


def _keep_tensorflow_off_the_accelerator():
    # TensorFlow feeds the data on every backend, and would take the memory that the other one needs.
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
