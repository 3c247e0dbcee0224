import keras
import numpy as np
import pytest
from reference import leverage

from clicv2_keras.layers.patch_read_out import PARTS
from clicv2_keras.models import ComplexityScorer, DiversityHead, LinearHead
from clicv2_keras.models.presets import load_preset, save_preset
from clicv2_keras.utils.errors import UserError

HEADS = ("diversity", "linear", "token", "entropy")


@pytest.fixture
def make_scorer(make_model, rng):
    """A scorer by the name of its head, its weights not at their initial values."""

    def make(head):
        model = make_model(entropy={} if head == "entropy" else None)
        if head == "diversity":
            return ComplexityScorer.label_free(model.encoder)
        if head == "entropy":
            # An untrained decoder may say less than 0 of every patch, which is clipped to one flat map.
            model.entropy.patch_loss.mean.assign(0.5)
            model.entropy.patch_loss.variance.assign(0.01)
            return ComplexityScorer(model.encoder, model.entropy)
        scorer = ComplexityScorer(
            model.encoder, LinearHead(("token",) if head == "token" else PARTS, label_range=(1, 5))
        )
        scorer.head.kernel.assign(rng.normal(0, 1, scorer.head.kernel.shape))
        scorer.head.bias.assign(-0.5)
        return scorer

    return make


@pytest.mark.parametrize("head", HEADS)
def test_map_averages_to_the_score(make_scorer, images, head):
    out = make_scorer(head).predict(images, verbose=0)
    assert out["map"].shape == (4, 4, 4) and out["score"].shape == (4,) and out["embedding"].shape == (4, 16)
    np.testing.assert_allclose(out["map"].mean(axis=(1, 2)), out["score"], atol=1e-5)
    assert 0 <= out["map"].min() < out["map"].max() <= 1


@pytest.mark.parametrize("head", ("diversity", "linear", "entropy"))
def test_keras_file_round_trip(make_scorer, images, tmp_path, head):
    scorer = make_scorer(head)
    expected = scorer.predict(images, verbose=0)
    scorer.save(tmp_path / "scorer.keras")
    loaded = keras.saving.load_model(tmp_path / "scorer.keras")
    for name, values in loaded.predict(images, verbose=0).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)
    if head == "linear":
        assert loaded.head.label_range == (1, 5)


def test_the_same_image_always_scores_the_same(make_scorer, images):
    scorer = make_scorer("entropy")
    first, second = (scorer.predict(images, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first["map"], second["map"])


def test_linear_head_bounds_each_patch_before_the_average(make_scorer, images):
    scorer = make_scorer("linear")
    tokens = np.asarray(keras.ops.convert_to_numpy(scorer.encoder(images)), "float64")
    diversity = np.stack([[leverage(t, r * 16) for t in tokens] for r in (1 / 64, 1 / 4)], axis=-1)
    deviation = np.abs(tokens - tokens.mean(axis=1, keepdims=True))
    features = np.concatenate([tokens, deviation, diversity], axis=-1)
    logits = features @ keras.ops.convert_to_numpy(scorer.head.kernel) - 0.5
    score = scorer.predict(images, verbose=0)["score"]
    np.testing.assert_allclose(score, (1 / (1 + np.exp(-logits))).mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("gain", [1.0, 3.5])
@pytest.mark.parametrize("regularization", [1 / 64, 1.0])
def test_diversity_is_the_leverage_of_the_tokens(rng, regularization, gain):
    # A few directions for many tokens, as in real images: the Gram matrix is far from regular.
    tokens = (rng.normal(size=(3, 64, 5)) @ rng.normal(size=(5, 48)) + 0.3 * rng.normal(size=(3, 64, 48))) / 2 * gain
    head = DiversityHead(regularization)
    found = head.patch_scores(None, keras.ops.convert_to_tensor(tokens.astype("float32")), None)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), [leverage(t, regularization * 48) for t in tokens], atol=1e-4 * gain
    )


def test_diversity_of_equal_patches_is_none_and_a_lone_one_stands_out(rng):
    tokens = np.tile(rng.normal(size=(1, 1, 32)), (2, 16, 1)).astype("float32")
    tokens[1, 5] = rng.normal(size=32)
    found = keras.ops.convert_to_numpy(DiversityHead().patch_scores(None, keras.ops.convert_to_tensor(tokens), None))
    np.testing.assert_allclose(found[0], 0, atol=1e-5)
    assert found[1].argmax() == 5 and found[1, 5] > 0.9 and np.delete(found[1], 5).max() < 0.1


def test_masked_entropy_needs_a_branch_that_predicts_patches(make_model, images):
    model = make_model(entropy={"target": "image"})
    with pytest.raises(ValueError, match="not trained on hidden patches"):
        ComplexityScorer(model.encoder, model.entropy)(images)


def test_heads_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="parts must be some of"):
        LinearHead(("median",))
    with pytest.raises(ValueError, match="regularization must be above 0"):
        DiversityHead(0)


def test_a_preset_keeps_its_scores_in_half_the_size(make_scorer, images, tmp_path, monkeypatch):
    from clicv2_keras.utils import package_data as shipped

    scorer = make_scorer("linear")
    save_preset(scorer, tmp_path / "tiny")
    scorer.save_weights(tmp_path / "full.weights.h5")
    monkeypatch.setattr(shipped, "package_data", lambda name: tmp_path)
    monkeypatch.setattr(shipped, "ALIASES", {"default": "tiny"})
    for name in ("tiny", "default"):
        loaded = ComplexityScorer.from_preset(name)
        difference = loaded.predict(images, verbose=0)["score"] - scorer.predict(images, verbose=0)["score"]
        assert np.abs(difference).max() < 2e-3
    assert {w.dtype for w in loaded.encoder.weights} == {"float32"}
    of_floats = ComplexityScorer.from_preset("tiny", value_range=(0, 1))
    score = keras.ops.convert_to_numpy(of_floats(images / 255)["score"])
    np.testing.assert_allclose(score, loaded.predict(images, verbose=0)["score"], atol=1e-5)
    with pytest.raises(ValueError, match="is a ComplexityScorer, not a ViTEncoder"):
        load_preset(type(scorer.encoder), "tiny")
    with pytest.raises(ValueError, match="did you mean default?"):
        ComplexityScorer.from_preset("defualt")
    damaged = bytearray((tmp_path / "tiny" / "model.weights.h5").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "tiny" / "model.weights.h5").write_bytes(damaged)
    with pytest.raises(UserError, match="model.weights.h5: does not match its checksum"):
        ComplexityScorer.from_preset("tiny")
