import keras
import numpy as np
import pytest
from keras import ops
from tiny_network import tiny_feature_maps

from clicv2_keras.layers import MeasureTargets
from clicv2_keras.models import CLICv2, ContrastiveBranch, GuideBranch, MaskedEntropyBranch, ViTEncoder
from clicv2_keras.models.feature_maps import FeatureMaps


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture
def encoder():
    keras.utils.set_random_seed(0)
    return ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)


def make_guide(images, encoder, **settings):
    guide = GuideBranch(tiny_feature_maps(), grid_dim=5, pooled_dim=6, **settings)
    guide.build_for(encoder)
    guide.fit(images)
    return guide


def smooth_l1(error):
    return np.where(abs(error) < 0.5, 2 * error**2, 2 * abs(error) - 0.5).mean()


def test_agrees_with_numpy(images, encoder):
    guide = make_guide(images, encoder, grid_weight=2.0, pooled_weight=3.0)
    found = {name: numpy(value) for name, value in guide(images, encoder=encoder).items()}
    grid, pooled = (numpy(x) for x in guide.targets(guide.teacher(images)))
    tokens = numpy(encoder(images))
    mean = tokens.mean(axis=1)
    summary = np.concatenate([mean, abs(tokens - mean[:, None]).mean(axis=1)], axis=1)
    (grid_w, grid_b), (pooled_w, pooled_b) = guide.grid_head.get_weights(), guide.pooled_head.get_weights()
    grid_error, pooled_error = grid - (tokens @ grid_w + grid_b), pooled - (summary @ pooled_w + pooled_b)
    expected = 2 * smooth_l1(grid_error) + 3 * smooth_l1(pooled_error)
    np.testing.assert_allclose(found["guide_loss"], expected, rtol=1e-4)
    np.testing.assert_allclose(found["guide_grid"], 1 - (grid_error**2).mean() / (grid**2).mean(), rtol=1e-3)
    np.testing.assert_allclose(found["guide_pooled"], 1 - (pooled_error**2).mean() / (pooled**2).mean(), rtol=1e-3)
    np.testing.assert_allclose(found["embedding"], mean, atol=1e-5)


def test_its_weight_is_that_of_its_loss_beside_others(images, encoder):
    model = CLICv2(
        encoder, entropy=MaskedEntropyBranch(decoder_width=32, seed=1), guide=make_guide(images, encoder, weight=3.0)
    )
    found = {name: numpy(value) for name, value in model(images).items()}
    np.testing.assert_allclose(found["loss"], found["entropy_loss"] + 3 * found["guide_loss"], rtol=1e-5)


def test_known_targets_are_as_good_as_the_teachers_own(images, encoder):
    guide = make_guide(images, encoder)
    known = guide.targets(guide.teacher(images))
    asked = numpy(guide(images, encoder=encoder)["guide_loss"])
    guide.teach(None)
    np.testing.assert_allclose(numpy(guide(images, encoder=encoder, known=known)["guide_loss"]), asked, rtol=1e-5)


def test_guided_training_learns_and_leaves_the_teacher_alone(images, encoder):
    guide = make_guide(images, encoder)
    model = CLICv2(encoder, guide=guide)
    model.compile(keras.optimizers.Adam(1e-2))
    before, targets = guide.teacher.get_weights(), guide.targets.get_weights()
    history = model.fit(images, epochs=80, batch_size=4, verbose=0).history
    assert history["guide_loss"][-1] < 0.5 * history["guide_loss"][0]
    assert history["guide_grid"][-1] > 0.4 and history["guide_pooled"][-1] > 0.4
    for old, new in zip([*before, *targets], [*guide.teacher.get_weights(), *guide.targets.get_weights()], strict=True):
        np.testing.assert_array_equal(old, new)


def test_no_teacher_is_trained_that_was_frozen_before(encoder):
    frozen = ViTEncoder.from_config({**encoder.get_config(), "trainable": False})
    teacher = FeatureMaps(tiny_feature_maps().network, trainable=False)
    model = CLICv2(frozen, contrast=ContrastiveBranch(tokens=4, projector_hidden=8), guide=GuideBranch(teacher))
    taught = {id(v) for v in (*model.guide.teacher.weights, *model.contrast.teacher_encoder.weights)}
    assert not taught & {id(v) for v in model.trainable_variables}


def test_a_saved_model_carries_its_targets_and_not_the_teacher(images, encoder, tmp_path):
    model = CLICv2(encoder, guide=make_guide(images, encoder))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.guide.teacher is None
    assert len(loaded.weights) == len(model.weights) - len(model.guide.teacher.weights)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    loaded.guide.teach(tiny_feature_maps())
    expected = numpy(model(images)["loss"])
    np.testing.assert_allclose(numpy(loaded(images)["loss"]), expected, rtol=1e-5)


def test_wrong_use(encoder, images):
    with pytest.raises(ValueError, match="needs a teacher"):
        GuideBranch()
    other = ViTEncoder(image_size=16, patch_size=8, width=16, depth=1, num_heads=2)
    guide = GuideBranch(targets=make_guide(images, encoder).targets)
    with pytest.raises(ValueError, match=r"of \(4, 4\) patches, the encoder's \(2, 2\)"):
        guide.build_for(other)


def measured(images):
    """Batches that bring along what was measured: three numbers an image."""
    measures = np.stack([images.mean(axis=(1, 2, 3)), images.std(axis=(1, 2, 3)), images[:, 0, 0, 0]], axis=1)
    return {"image": images, "guide_measures": measures.astype("float32")}


@pytest.mark.slow
def test_a_guide_of_measures_has_no_grid_and_learns(encoder, images, tmp_path):
    batch, targets = measured(images), MeasureTargets(3)
    targets.fit(batch["guide_measures"])
    standardised = numpy(targets(batch["guide_measures"]))
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=1e-4)
    assert numpy(targets(np.full((1, 3), 1e6, "float32"))).max() == 4
    model = CLICv2(encoder, guide=GuideBranch(targets=targets))
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(batch, epochs=80, batch_size=4, verbose=0).history
    assert history["guide_loss"][-1] < 0.5 * history["guide_loss"][0] and history["guide_pooled"][-1] > 0.4
    assert "guide_grid" not in history
    np.testing.assert_array_equal(numpy(model.guide.targets(batch["guide_measures"])), standardised)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(loaded(batch)["loss"]), numpy(model(batch)["loss"]), rtol=1e-5)
    with pytest.raises(ValueError, match="batches that bring its targets along"):
        model(images)
