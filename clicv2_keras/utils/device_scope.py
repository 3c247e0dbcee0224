"""The one device that Keras computes on, by its name. A run's devices are told by its recipe: `training/devices.py`."""

import contextlib

from clicv2_keras.utils.errors import UserError


def device_scope(name=None):
    """Context in which Keras keeps weights and computes on one device, products of float32 in float32: GPUs round what
    goes into them to 10 bits else, too few for a leverage. The backend must be chosen already.

    Args:
        name: `"cpu"`, `"gpu"`, `"gpu:1"`, …, as `keras.device` takes it; None leaves it to the backend, which takes the
            first GPU where there is one.

    Raises:
        UserError: where there is no such device.
    """
    import keras

    backend = keras.backend.backend()
    if name is None:
        return _float32(backend)
    there = _devices(backend)
    wanted = name.lower() if ":" in name else f"{name.lower()}:0"
    if wanted not in there:
        raise UserError(f"device: {name} is not here; {backend} has {', '.join(there)}")
    # PyTorch's first CPU is "cpu": to it "cpu:0" is another place, to which weights would be copied.
    return _float32(backend, keras.device(wanted.removesuffix(":0") if backend == "torch" else wanted))


@contextlib.contextmanager
def _float32(backend, device=None):
    """Context of a device in which no product is made in TensorFloat-32; PyTorch makes none so unless it is told to."""
    with device or contextlib.nullcontext():
        if backend == "jax":
            import jax

            with jax.default_matmul_precision("float32"):
                yield
        elif backend == "tensorflow":
            import tensorflow as tf

            before = tf.config.experimental.tensor_float_32_execution_enabled()
            tf.config.experimental.enable_tensor_float_32_execution(False)
            try:
                yield
            finally:
                tf.config.experimental.enable_tensor_float_32_execution(before)
        else:
            yield


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
