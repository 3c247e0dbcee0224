"""Files that version 0.1 wrote, at commit d0e12ef."""

from pathlib import Path

import keras
import numpy as np

from clicv2_keras.models import CLICv2

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_a_whole_model_of_0_1_loads_and_trains_on(images):
    model = keras.saving.load_model(FIXTURES / "clicv2_0.1.keras")
    assert isinstance(model, CLICv2) and model.guide is None and model.encoder.stem is None
    expected = np.load(FIXTURES / "clicv2_0.1_embeddings.npy")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    np.testing.assert_allclose(model.predict(pixels, verbose=0), expected, atol=1e-5)
    assert np.isfinite(model.train_on_batch(images, return_dict=True)["loss"])


def test_a_model_saved_today_is_laid_out_alike(tmp_path, images):
    model = keras.saving.load_model(FIXTURES / "clicv2_0.1.keras")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
