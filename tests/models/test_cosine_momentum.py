import keras
import numpy as np

from clicv2_keras.models import CosineMomentum


def test_runs_from_initial_to_one_along_a_cosine():
    momentum = CosineMomentum(0.99, total_steps=100)
    values = [float(momentum(step)) for step in (0, 50, 100, 1000)]
    np.testing.assert_allclose(values, [0.99, 0.995, 1, 1], atol=1e-6)


def test_config_round_trip():
    momentum = CosineMomentum(0.9, total_steps=7)
    saved = keras.saving.serialize_keras_object(momentum)
    assert saved["registered_name"] == "clicv2_keras>CosineMomentum"
    assert keras.saving.deserialize_keras_object(saved).get_config() == {"initial": 0.9, "total_steps": 7}
