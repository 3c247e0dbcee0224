"""What a run is asked at its end, on fewer images."""

from types import SimpleNamespace

import numpy as np
import pytest
from keras import ops

from clicv2_keras.layers import EntropyMasking
from clicv2_keras.models import CLICv2, ContrastiveBranch, MaskedEntropyBranch
from clicv2_keras.training import known_complexity
from clicv2_keras.training.known_complexity import for_people, hidden_entropy_explained, unseen_images

RECIPE = SimpleNamespace(seed=0, data=SimpleNamespace(image_size=32))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(known_complexity, "IMAGES", 40)
    data = unseen_images(32, 80)
    monkeypatch.setattr(known_complexity, "unseen_images", lambda image_size: data)
    return data


@pytest.mark.slow
def test_both_read_outs_of_both_encoders_and_the_hidden_patches(tiny_encoder, few):
    model = CLICv2(tiny_encoder, contrast=None, entropy=MaskedEntropyBranch(decoder_depth=1, decoder_width=32, seed=0))
    state = int(np.sum(model.entropy.masking.seed_generator.state))
    figures = known_complexity.known_complexity(RECIPE, model)
    assert figures["untrained/ridge/srcc"] != figures["model/ridge/srcc"]
    # The decoder has learnt nothing, and what it says is in no unit: a constant is better.
    assert figures["model/hidden_entropy_explained"] < 0 < figures["no_model/hidden_entropy_explained"]
    assert figures["chance/token_retrieval"] == 1 / 80
    assert int(np.sum(model.entropy.masking.seed_generator.state)) == state  # the run is left as it was

    rows, (found, hidden) = for_people(figures)
    assert [name for name, _, _ in rows] == [
        "trained encoder: ridge on the mean token",
        "trained encoder: ridge on tokens, their deviation and diversity",
        "untrained, mean of 3 seeds: ridge on the mean token",
        "untrained, mean of 3 seeds: ridge on tokens, their deviation and diversity",
        "mean patch entropy",
    ]
    assert rows[1][2] == f"{figures['model/ridge/srcc']:.3f}"
    assert f"{figures['untrained/token_retrieval']:.3f}" in found
    assert f"{figures['model/hidden_entropy_explained']:.3f}" in hidden

    without = known_complexity.known_complexity(
        RECIPE, CLICv2(tiny_encoder, ContrastiveBranch(projector_hidden=16, projection_dim=8))
    )
    assert without == {key: value for key, value in figures.items() if "hidden" not in key}
    assert for_people(without) == (rows, [found])


def test_the_share_explained_is_one_of_a_prophet_and_nought_of_a_constant(tiny_encoder, rng):
    images = rng.integers(0, 256, (6, 32, 32, 3)).astype("uint8")
    images[:, :16] //= 20  # patches of unlike entropy
    branch = MaskedEntropyBranch(decoder_depth=1, decoder_width=32)
    masks = EntropyMasking(8, branch.mask_ratio, branch.bins, seed=0)(ops.convert_to_tensor(images))
    branch.patch_loss = SimpleNamespace(restore=lambda predicted: predicted)
    branch.decoder = lambda visible, keep, masked: masks["targets"]
    prophet, by_mean = hidden_entropy_explained(branch, tiny_encoder, images)
    assert prophet == pytest.approx(1, abs=1e-6) and by_mean < 1
    mean = ops.mean(ops.take_along_axis(masks["entropy"], masks["keep"], axis=1), axis=1, keepdims=True)
    branch.decoder = lambda visible, keep, masked: mean
    assert hidden_entropy_explained(branch, tiny_encoder, images) == pytest.approx((by_mean, by_mean))
    branch.decoder = lambda visible, keep, masked: ops.zeros_like(masks["targets"]) + ops.mean(masks["targets"])
    assert hidden_entropy_explained(branch, tiny_encoder, images)[0] == pytest.approx(0, abs=1e-6)
