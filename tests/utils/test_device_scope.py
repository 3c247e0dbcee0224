"""Where Keras computes: on the device that was named, or one line on why not."""

import keras
import pytest
from test_backends import run

from clicv2_keras.utils.device_scope import device_scope
from clicv2_keras.utils.errors import UserError

# Two (virtual) devices, and an encoder that is made and computes on the second.
ON_THE_SECOND = """
import os
if os.environ["KERAS_BACKEND"] == "jax":
    os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
else:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from clicv2_keras.models import ViTEncoder
from clicv2_keras.utils.device_scope import device_scope

with device_scope("cpu:1"):
    encoder = ViTEncoder(image_size=16, patch_size=8, width=8, depth=1, num_heads=2)
    tokens = encoder(np.zeros((1, 16, 16, 3), "uint8"))
places = {str(value.device).lower()[-5:] for value in (tokens, *(weight.value for weight in encoder.weights))}
assert places == {"cpu:1"}, places
"""


def test_a_device_is_there_by_its_name_with_and_without_a_number():
    for name in ("cpu", "CPU:0"):
        with device_scope(name):
            assert float(keras.ops.sum(keras.Variable([1.0, 2.0]))) == 3
    with device_scope():
        pass


@pytest.mark.parametrize("name", [None, "cpu"])
def test_products_of_float32_are_made_in_float32(name):
    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch makes them so by itself")
    if keras.backend.backend() == "jax":
        import jax

        def said():
            return jax.config.jax_default_matmul_precision

        rounded, whole = None, "float32"
    else:
        import tensorflow as tf

        said = tf.config.experimental.tensor_float_32_execution_enabled
        rounded, whole = True, False
    assert said() == rounded
    with device_scope(name):
        assert said() == whole
    assert said() == rounded


@pytest.mark.parametrize("name", ["gpu:7", "cpu:9", "nonsense", ""])
def test_one_that_is_not_here_is_one_line(name):
    with pytest.raises(UserError, match=f"^device: {name} is not here; {keras.backend.backend()} has .*cpu:0"):
        device_scope(name)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_weights_lie_and_outputs_come_from_the_device(backend):
    run(backend, "-c", ON_THE_SECOND)
