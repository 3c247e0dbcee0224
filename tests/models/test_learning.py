"""What training must bring about, on tiny models that learn in seconds."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import pearsonr

from clicv2_keras.models import ComplexityScorer


def patchy(rng, count):
    """Images from flat to noise, each of its four rows a little more or less: what is hidden can be guessed."""
    amplitude = rng.random((count, 1, 1, 1)) * rng.uniform(0.5, 1, (count, 4, 1, 1)).repeat(8, axis=1)
    return (128 + 100 * amplitude * rng.normal(0, 1, (count, 32, 32, 3))).clip(0, 255).astype("uint8")


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["same_position", "all"])
def test_the_positional_shortcut_is_closed(make_model, rng, negatives):
    """On batches of identical images only position tells tokens apart; a direction's chance is 2 T ln(candidates)."""
    by_image, by_image_and_position = 2 * 0.2 * np.log(8), 2 * 0.2 * np.log(8 * 16)
    model = make_model(
        {"negatives": negatives, "tokens": 16, "momentum": 0.9},
        None,
        encoder={"detail_gain": 1.0},  # where position stands out most
        optimizer=keras.optimizers.Adam(3e-3),
        run_eagerly=False,
    )
    losses = []
    for _ in range(150):
        image = (rng.integers(0, 226) + rng.integers(0, 30, (1, 32, 32, 3))).astype("uint8").repeat(8, axis=0)
        model.reset_metrics()
        logs = model.train_on_batch({"image": image, "view_a": image, "view_b": image}, return_dict=True)
        losses.append(float(logs["contrastive_loss"]) / 2)
    last = np.mean(losses[-20:])
    if negatives == "same_position":
        assert 0.99 * by_image < last < 1.1 * by_image, "position teaches nothing: the loss stays at chance"
    else:
        assert by_image < last < 0.6 * by_image_and_position, "position alone explains most of the loss"


@pytest.fixture
def trained(make_model, rng):
    """A tiny model before and after a minute's worth of small steps; and unseen images."""
    model = make_model(
        {"tokens": 8, "momentum": 0.97},
        {"decoder_depth": 1},
        encoder={"width": 32, "depth": 2},
        optimizer=keras.optimizers.AdamW(2e-3),
        run_eagerly=False,
    )
    unseen = patchy(rng, 64)
    before = model.encoder.predict(unseen, verbose=0)
    images = patchy(rng, 512)
    model.fit({name: images for name in ("image", "view_a", "view_b")}, batch_size=32, epochs=14, verbose=0)
    return model, unseen, before


@pytest.mark.slow
def test_training_learns_entropy(trained):
    model, unseen, before = trained
    masking = model.entropy.masking(unseen)
    masks = {name: ops.convert_to_numpy(value) for name, value in masking.items()}

    # The masked entropies of unseen images are predicted from what is visible.
    from clicv2_keras.layers import patchify

    visible = model.encoder.encode(patchify(ops.convert_to_tensor(unseen), 8), keep=masking["keep"])
    predicted = ops.convert_to_numpy(model.entropy.decoder(visible, masking["keep"], masking["masked"]))
    assert pearsonr(predicted.ravel(), masks["targets"].ravel()).statistic > 0.7

    # A linear fit from features to patch entropy improves.
    def fit_error(tokens):
        features = np.concatenate([tokens.reshape(-1, tokens.shape[-1]), np.ones((tokens.shape[0] * 16, 1))], axis=1)
        target, half = masks["entropy"].ravel(), len(features) // 2
        weights = np.linalg.lstsq(features[:half], target[:half], rcond=None)[0]
        return np.mean((features[half:] @ weights - target[half:]) ** 2)

    assert fit_error(model.encoder.predict(unseen, verbose=0)) < 0.8 * fit_error(before)

    # The masked-entropy branch as a scorer's head ranks unseen images; the map averages to the score.
    out = ComplexityScorer(model.encoder, model.entropy).predict(unseen, verbose=0)
    assert pearsonr(out["score"], masks["entropy"].mean(axis=1)).statistic > 0.8
    np.testing.assert_allclose(out["map"].mean(axis=(1, 2)), out["score"], atol=1e-6)
    assert out["map"].shape == (64, 4, 4) and out["embedding"].shape == (64, 32)
    assert 0 <= out["map"].min() and out["map"].max() <= 1
