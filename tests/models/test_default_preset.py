"""The model that comes with the package."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from clicv2_keras.models import ComplexityScorer
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.tflite_file import unpack


@pytest.fixture(scope="module")
def scorer():
    return ComplexityScorer.from_preset("default")


def test_ranks_unseen_images_by_complexity(scorer):
    size = scorer.encoder.image_size
    images, known = zip(*(procedural_image(10**12 + i, size) for i in range(60)), strict=True)
    out = scorer.predict(np.stack(images), verbose=0)
    assert spearmanr(out["score"], known).statistic > 0.85
    np.testing.assert_allclose(out["map"].mean(axis=(1, 2)), out["score"], atol=1e-5)


def test_a_blank_image_scores_below_noise_of_any_kind(scorer, rng):
    size = scorer.encoder.image_size
    blank = np.full((1, size, size, 3), 128, "uint8")
    noise = rng.integers(0, 256, (1, size, size, 3)).astype("uint8")
    scores = scorer.predict(np.concatenate([blank, noise]), verbose=0)["score"]
    assert scores[0] < scores[1] - 0.2


def test_every_file_for_devices_has_the_card_that_lies_beside_it():
    files = [file for folder in set(trained_presets().values()) for file in folder.glob("*.tflite")]
    assert len(files) >= 3
    for file in files:
        assert unpack(file).card == (file.parent / "MODEL_CARD.md").read_text(encoding="utf-8"), file


def test_travels_with_its_card_and_recipe():
    folder = trained_presets()["default"]
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.weights.h5", "recipe.yaml", "metrics.csv", "MODEL_CARD.md"} <= names
    # What a device carries, and what the wheel does.
    assert all(path.stat().st_size < 12e6 for path in folder.glob("*.tflite"))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 32e6
