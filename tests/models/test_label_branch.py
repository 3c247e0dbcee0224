import keras
import numpy as np
import pytest
from keras import ops

from clicv2_keras.models import CLICv2, LabelBranch, LinearHead, MaskedEntropyBranch, ViTEncoder


@pytest.fixture
def encoder():
    keras.utils.set_random_seed(0)
    return ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)


@pytest.fixture
def batch(rng):
    """Six images in three groups, from flat to noise, two crops each."""
    spread = np.linspace(0, 80, 6)[:, None, None, None, None]
    crops = (128 + spread * rng.normal(size=(6, 2, 32, 32, 3))).clip(0, 255).astype("uint8")
    return {
        "crops": crops,
        "score": np.linspace(0.1, 0.9, 6).astype("float32"),
        "group": np.array([0, 1, 2, 2, 1, 0], "int32"),
    }


def make_branch(encoder, rng, **settings):
    branch = LabelBranch(LinearHead(("token", "deviation")), groups=3, **settings)
    branch.build_for(encoder)
    branch.head.kernel.assign(rng.normal(size=branch.head.kernel.shape))
    branch.head.bias.assign(0.3)
    branch.offsets.assign([-0.5, 0.1, 1.0])
    return branch


def numpy(x):
    return ops.convert_to_numpy(x)


def test_agrees_with_numpy(encoder, batch, rng):
    branch = make_branch(encoder, rng)
    found = {name: numpy(value) for name, value in branch(*batch.values(), encoder=encoder).items()}
    kernel, offsets = numpy(branch.head.kernel), numpy(branch.offsets)
    scores, means = [], []
    for crop in (batch["crops"][:, 0], batch["crops"][:, 1]):
        tokens = numpy(encoder(crop))
        features = np.concatenate([tokens, abs(tokens - tokens.mean(axis=1, keepdims=True))], axis=2)
        logits = features @ kernel + 0.3 + offsets[batch["group"]][:, None]
        scores.append((1 / (1 + np.exp(-logits))).mean(axis=1))
        means.append(tokens.mean(axis=1))
    error = np.mean([(score - batch["score"]) ** 2 for score in scores])
    np.testing.assert_allclose(found["label_error"], error, rtol=1e-4)
    np.testing.assert_allclose(found["label_loss"], error + np.mean((scores[0] - scores[1]) ** 2), rtol=1e-4)
    np.testing.assert_allclose(found["embedding"], np.concatenate(means), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_labels_and_head_keep_their_precision_beside_a_half_encoder(batch, rng, policy, monkeypatch):
    keras.config.set_dtype_policy(policy)
    try:
        half = ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)
        model = CLICv2(half, labels=make_branch(half, rng))
    finally:
        keras.config.set_dtype_policy("float32")
    seen = []
    call = model.labels.call
    monkeypatch.setattr(
        model.labels,
        "call",
        lambda crops, score, *rest, **more: seen.append(score) or call(crops, score, *rest, **more),
    )
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    before = numpy(model.labels.head.kernel).copy()
    assert np.isfinite(model.train_on_batch(batch, return_dict=True)["loss"])
    assert half.compute_dtype != "float32" and (numpy(model.labels.head.kernel) != before).any()
    np.testing.assert_array_equal(numpy(seen[-1]), batch["score"])


def test_two_crops_that_are_equal_differ_by_nothing(encoder, batch, rng):
    batch["crops"][:, 1] = batch["crops"][:, 0]
    found = make_branch(encoder, rng)(*batch.values(), encoder=encoder)
    np.testing.assert_allclose(numpy(found["label_loss"]), numpy(found["label_error"]), rtol=1e-6)


@pytest.mark.parametrize(("common", "level"), [(None, 0.2), ([0, 2], 0.25)])
def test_what_ships_knows_no_group(encoder, batch, rng, common, level):
    branch = make_branch(encoder, rng, common=common)
    before = numpy(branch(*batch.values(), encoder=encoder)["label_loss"])
    branch.fold()
    np.testing.assert_allclose(numpy(branch.head.bias), 0.3 + level, rtol=1e-5)
    np.testing.assert_allclose(numpy(branch(*batch.values(), encoder=encoder)["label_loss"]), before, rtol=1e-5)
    scorer = branch.scorer(encoder)
    assert scorer.head is branch.head and scorer.encoder is encoder


@pytest.mark.slow
def test_labels_alone_train_encoder_and_head(encoder, batch):
    model = CLICv2(encoder, labels=LabelBranch(LinearHead(("token",)), groups=3))
    model.compile(keras.optimizers.Adam(1e-2))
    before = encoder.get_weights()
    history = model.fit(batch, epochs=40, batch_size=6, verbose=0).history
    assert history["label_loss"][-1] < 0.3 * history["label_loss"][0]
    assert set(history) == {"loss", "label_loss", "label_error", "embedding_std", "effective_rank"}
    assert any((old != new).any() for old, new in zip(before, encoder.get_weights(), strict=True))


def test_beside_another_branch_the_losses_add_up(encoder, batch, rng, images):
    labels = make_branch(encoder, rng, weight=3.0)
    model = CLICv2(encoder, entropy=MaskedEntropyBranch(decoder_width=32, seed=1), labels=labels)
    found = model(batch | {"image": np.concatenate([images, images[:2]])})
    expected = numpy(found["entropy_loss"]) + 3 * numpy(found["label_loss"])
    np.testing.assert_allclose(numpy(found["loss"]), expected, rtol=1e-5)


def test_a_saved_model_is_the_same(encoder, batch, rng, tmp_path):
    model = CLICv2(encoder, labels=make_branch(encoder, rng, common=[1], weight=2.0))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.labels.groups, loaded.labels.common, loaded.labels.weight) == (3, [1], 2.0)
    np.testing.assert_allclose(numpy(loaded(batch)["loss"]), numpy(model(batch)["loss"]), rtol=1e-6)
