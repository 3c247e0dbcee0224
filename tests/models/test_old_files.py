"""Files that 0.1 wrote, at commit d0e12ef: models and presets; for its runs see tests/training/test_old_runs.py."""

from pathlib import Path

import keras
import numpy as np
import pytest

from clicv2_keras.models import CLICv2, ComplexityScorer, LinearHead
from clicv2_keras.models.find_model import find_model
from clicv2_keras.models.presets import load_preset

FIXTURES = Path(__file__).parents[1] / "fixtures"
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")


@pytest.mark.usefixtures("one_step")
def test_a_whole_model_of_0_1_loads_and_trains_on(images):
    model = keras.saving.load_model(FIXTURES / "clicv2_0.1.keras")
    assert isinstance(model, CLICv2) and model.guide is None and model.encoder.stem is None
    expected = np.load(FIXTURES / "clicv2_0.1_embeddings.npy")
    np.testing.assert_allclose(model.predict(PIXELS, verbose=0), expected, atol=1e-5)
    assert np.isfinite(model.train_on_batch(images, return_dict=True)["loss"])


def test_a_model_saved_today_is_laid_out_alike(tmp_path, images):
    model = keras.saving.load_model(FIXTURES / "clicv2_0.1.keras")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))


def _preset(monkeypatch):
    folders = {"preset_0.1": FIXTURES / "preset_0.1"}
    monkeypatch.setattr("clicv2_keras.models.presets.trained_presets", lambda: folders)
    return load_preset(ComplexityScorer, "preset_0.1")


@pytest.mark.parametrize("kind", ["file", "preset"])
def test_a_scorer_of_0_1_gives_the_same_scores(kind, monkeypatch):
    scorer = find_model(FIXTURES / "scorer_0.1.keras") if kind == "file" else _preset(monkeypatch)
    assert isinstance(scorer.head, LinearHead)
    # A preset's weights are of half precision.
    atol = 1e-6 if kind == "file" else 2e-3
    scores = scorer.predict(PIXELS, verbose=0)["score"]
    np.testing.assert_allclose(scores, np.load(FIXTURES / "scorer_0.1_scores.npy"), atol=atol)
