"""The one device that Keras computes on, by its name. A run's devices are told by its recipe: `training/devices.py`."""

import contextlib

from clicv2_keras.utils.errors import UserError


def device_scope(name=None):
    """Context in which Keras keeps weights and computes on one device. The backend must be chosen already.

    Args:
        name: `"cpu"`, `"gpu"`, `"gpu:1"`, …, as `keras.device` takes it; None leaves it to the backend, which takes the
            first GPU where there is one.

    Raises:
        UserError: where there is no such device.
    """
    if name is None:
        return contextlib.nullcontext()
    import keras

    backend = keras.backend.backend()
    there = _devices(backend)
    wanted = name.lower() if ":" in name else f"{name.lower()}:0"
    if wanted not in there:
        raise UserError(f"device: {name} is not here; {backend} has {', '.join(there)}")
    # PyTorch's first CPU is "cpu": to it "cpu:0" is another place, to which weights would be copied.
    return keras.device(wanted.removesuffix(":0") if backend == "torch" else wanted)


def refuse_device(name, model):
    """Say that a `.tflite` file lies on no device of Keras, where one is named for it.

    Raises:
        UserError: where `name` is not None.
    """
    if name is not None:
        raise UserError(f"device: {model} is computed by LiteRT, on the CPU; leave {name} out")


def _devices(backend):
    """The names of a backend's devices, as `keras.device` takes them."""
    if backend == "tensorflow":
        import tensorflow as tf

        # "/device:GPU:0"
        return [device.name.removeprefix("/device:").lower() for device in tf.config.list_logical_devices()]
    if backend == "jax":
        import jax

        # Beside a GPU JAX lists no CPU unless asked for.
        return list(dict.fromkeys(f"{each.platform}:{each.id}" for each in (*jax.devices("cpu"), *jax.devices())))
    import torch

    return ["cpu:0", *(f"gpu:{number}" for number in range(torch.cuda.device_count()))]
