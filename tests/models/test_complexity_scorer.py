import keras
import numpy as np
import pytest

from clicv2_keras.models import ComplexityScorer
from clicv2_keras.models.presets import load_preset, save_preset


def test_keras_file_round_trip(make_model, images, tmp_path):
    scorer = ComplexityScorer.from_pretrainer(make_model())
    expected = scorer.predict(images, verbose=0)
    scorer.save(tmp_path / "scorer.keras")
    loaded = keras.saving.load_model(tmp_path / "scorer.keras").predict(images, verbose=0)
    for name in ("score", "map", "embedding"):
        np.testing.assert_allclose(loaded[name], expected[name], atol=1e-6)


def test_the_same_image_always_scores_the_same(make_model, images):
    scorer = ComplexityScorer.from_pretrainer(make_model())
    first, second = (scorer.predict(images, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first["map"], second["map"])


def test_needs_a_head_that_predicts_patches(make_model):
    for entropy in (None, {"target": "image"}):
        with pytest.raises(ValueError, match="needs a model trained with masked patch entropy"):
            ComplexityScorer.from_pretrainer(make_model(entropy=entropy))


def test_a_preset_keeps_its_scores_in_half_the_size(make_model, images, tmp_path, monkeypatch):
    from clicv2_keras.models import presets

    scorer = ComplexityScorer.from_pretrainer(make_model())
    save_preset(scorer, tmp_path / "tiny")
    scorer.save_weights(tmp_path / "full.weights.h5")
    monkeypatch.setattr(presets, "shipped_folder", lambda name: tmp_path)
    monkeypatch.setattr(presets, "ALIASES", {"default": "tiny"})
    for name in ("tiny", "default"):
        loaded = ComplexityScorer.from_preset(name)
        difference = loaded.predict(images, verbose=0)["score"] - scorer.predict(images, verbose=0)["score"]
        assert np.abs(difference).max() < 2e-3
    assert {w.dtype for w in loaded.encoder.weights} == {"float32"}
    with pytest.raises(ValueError, match="is a ComplexityScorer, not a ViTEncoder"):
        load_preset(type(scorer.encoder), "tiny")
    with pytest.raises(ValueError, match="Did you mean 'default'"):
        ComplexityScorer.from_preset("defualt")
