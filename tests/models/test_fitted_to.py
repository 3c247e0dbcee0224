"""What a model was fitted to travels with it."""

import h5py
import keras
import numpy as np
import pytest

from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.models.find_model import find_model
from clicv2_keras.models.fitted_to import FittedTo
from clicv2_keras.models.presets import load_preset, save_preset
from clicv2_keras.utils.atomic_files import sha256
from clicv2_keras.utils.fingerprints import Fingerprints


@pytest.fixture
def scorer(make_model, rng):
    scorer = ComplexityScorer(make_model(entropy=None).encoder, LinearHead(("token",)))
    scorer.head.kernel.assign(rng.normal(0, 1, scorer.head.kernel.shape))
    return scorer


@pytest.fixture
def seen(rng):
    return [Fingerprints(rng.integers(0, 256, (n, 194)).astype("uint8")) for n in (5, 2)]


@pytest.fixture
def as_before(monkeypatch):
    """Saves as 0.1 did, which said nothing."""
    monkeypatch.setattr(
        FittedTo, "save_own_variables", lambda self, store: super(FittedTo, self).save_own_variables(store)
    )


def test_a_new_model_was_fitted_to_nothing_and_a_copy_to_the_same(scorer, seen):
    assert len(scorer.head.fitted_to) == len(scorer.encoder.fitted_to) == 0
    scorer.encoder.fitted_to = seen[0]
    assert scorer.encoder.copy(image_size=64).fitted_to is seen[0]
    assert len(type(scorer.encoder).from_config(scorer.encoder.get_config()).fitted_to) == 0


def test_in_a_keras_file(scorer, seen, images, tmp_path):
    expected, weights = scorer.predict(images, verbose=0)["score"], len(scorer.weights)
    scorer.head.fitted_to, scorer.encoder.fitted_to = seen
    assert len(scorer.weights) == weights  # no variable, and so in no graph
    scorer.save(tmp_path / "scorer.keras")
    loaded = find_model(tmp_path / "scorer.keras")
    np.testing.assert_array_equal(loaded.head.fitted_to.codes, seen[0].codes)
    np.testing.assert_array_equal(loaded.encoder.fitted_to.codes, seen[1].codes)
    np.testing.assert_allclose(loaded.predict(images, verbose=0)["score"], expected, atol=1e-6)
    loaded.encoder.save(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(find_model(tmp_path / "encoder.keras").fitted_to.codes, seen[1].codes)


def test_in_a_preset(scorer, seen, tmp_path, monkeypatch):
    from clicv2_keras.utils import package_data as shipped

    monkeypatch.setattr(shipped, "package_data", lambda name: tmp_path)
    scorer.head.fitted_to = seen[0]
    save_preset(scorer, tmp_path / "tiny")
    loaded = load_preset(ComplexityScorer, "tiny")
    np.testing.assert_array_equal(loaded.head.fitted_to.codes, seen[0].codes)
    assert len(loaded.encoder.fitted_to) == 0
    # As a preset of 0.1 lies there.
    with h5py.File(tmp_path / "tiny" / "model.weights.h5", "r+") as file:
        names = []
        file.visit(lambda name: names.append(name) if name.endswith("fitted_to") else None)
        for name in names:
            del file[name]
    assert len(names) == 2
    sums = (f"{sha256(tmp_path / 'tiny' / name)}  {name}\n" for name in ("config.json", "model.weights.h5"))
    (tmp_path / "tiny" / "SHA256SUMS").write_text("".join(sums))
    former = find_model("tiny")
    assert former.head.fitted_to is former.encoder.fitted_to is None
    for mine, theirs in zip(former.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_file_of_before_says_nothing_and_stays_silent(scorer, images, tmp_path, as_before, monkeypatch):
    scorer.save(tmp_path / "scorer.keras")
    scorer.encoder.save(tmp_path / "encoder.keras")
    monkeypatch.undo()
    loaded = find_model(tmp_path / "scorer.keras")
    assert loaded.head.fitted_to is loaded.encoder.fitted_to is None
    expected = scorer.predict(images, verbose=0)["score"]
    np.testing.assert_allclose(loaded.predict(images, verbose=0)["score"], expected, atol=1e-6)
    loaded.save(tmp_path / "again.keras")
    assert keras.saving.load_model(tmp_path / "again.keras").head.fitted_to is None
    # An encoder by itself came from training without labels.
    assert len(find_model(tmp_path / "encoder.keras").fitted_to) == 0


@pytest.mark.parametrize(("name", "count"), [("clicv2_statistics_tiny_d4_patch16_192", 0), ("default", 1707)])
def test_what_ships_says_what_it_was_fitted_to(name, count):
    """708 images of Savoias, four of which it has twice; 992 and 720 of Nagle, five of them twice."""
    shipped = ComplexityScorer.from_preset(name)
    assert len(shipped.head.fitted_to) == count and len(shipped.encoder.fitted_to) == 0
