import keras
import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import RandomViews
from clicv2_keras.models import CLICv2, CosineMomentum

HEALTH = {"loss", "embedding_std", "effective_rank"}
CONTRAST = {"contrastive_loss", "retrieval", "layout_retrieval"}
ABLATION = {
    "mocov3": ({"level": "image", "shift_mode": "none"}, None),
    "sp": ({"level": "image"}, None),
    "mem": (None, {}),
    "imagewise all": ({"level": "image"}, {}),
    "pw": ({}, None),
    "clicv2": ({}, {}),
    "pw without sp": ({"shift_mode": "none"}, {}),
    "all negatives": ({"negatives": "all", "statistics": "position"}, {"target": "both"}),
    "entropy-weighted": ({"negatives": "entropy_weighted"}, {"target": "image", "bins": 32}),
    "image entropy-weighted": ({"negatives": "entropy_weighted", "level": "image"}, None),
}


@pytest.mark.parametrize(("contrast", "entropy"), ABLATION.values(), ids=ABLATION)
def test_every_row_of_the_ablation_trains(make_model, batch, contrast, entropy):
    model = make_model(contrast, entropy)
    history = model.fit(batch, batch_size=8, epochs=2, verbose=0).history
    expected = (
        HEALTH | (CONTRAST if contrast is not None else set()) | ({"entropy_loss"} if entropy is not None else set())
    )
    assert set(history) == expected
    assert np.isfinite(list(history.values())).all()
    parts = sum(history[k][0] for k in ("contrastive_loss", "entropy_loss") if k in history)
    np.testing.assert_allclose(history["loss"][0], parts, rtol=1e-4)


def test_weight_of_the_entropy_loss(make_model, batch):
    logs = {name: ops.convert_to_numpy(value) for name, value in make_model(entropy={"weight": 10.0})(batch).items()}
    np.testing.assert_allclose(logs["loss"], logs["contrastive_loss"] + 10 * logs["entropy_loss"], rtol=1e-5)


def test_at_step_0_teacher_and_student_agree_in_training_mode(make_model, images):
    """The trap of a frozen BatchNormalization: it would fall back on moving statistics that never move."""
    model = make_model()
    contrast = model.contrast
    student = contrast.projector(model.encoder(images, training=True), training=True)
    teacher = contrast.teacher_projector(contrast.teacher_encoder(images, training=True), training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(teacher), ops.convert_to_numpy(student))
    np.testing.assert_allclose(ops.convert_to_numpy(teacher).std((0, 1)), 1, atol=0.01)


@pytest.mark.parametrize("momentum", [0.9, CosineMomentum(0.8, total_steps=2)])
def test_the_teacher_moves_by_exactly_the_ema_rule(make_model, batch, momentum):
    model = make_model({"momentum": momentum})
    contrast = model.contrast

    def weights():
        student = [*model.encoder.get_weights(), *contrast.projector.get_weights()]
        return student, [*contrast.teacher_encoder.get_weights(), *contrast.teacher_projector.get_weights()]

    for step in range(1, 3):
        before_student, before = weights()
        model.fit(batch, batch_size=8, verbose=0)
        student, after = weights()
        m = momentum if step and isinstance(momentum, float) else 1 - 0.2 * (1 + np.cos(np.pi * step / 2)) / 2
        for old, own, new in zip(before, student, after, strict=True):
            np.testing.assert_allclose(new, m * old + (1 - m) * own, atol=3e-8)
        assert any((a != b).any() for a, b in zip(before_student, student, strict=True)), "the student has moved"


def test_the_teacher_gets_no_gradient(make_model):
    model = make_model()
    teacher = {id(w) for w in (*model.contrast.teacher_encoder.weights, *model.contrast.teacher_projector.weights)}
    assert teacher and not teacher & {id(w) for w in model.trainable_variables}
    model.optimizer.build(model.trainable_variables)
    parts = (model.encoder, model.contrast.projector, model.contrast.predictor, model.entropy)
    assert len(model.trainable_variables) == sum(len(part.trainable_variables) for part in parts)


def test_with_accumulation_the_teacher_moves_once_an_optimizer_step(make_model, batch):
    optimizer = keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2)
    model = make_model(optimizer=optimizer)
    moved = []
    for _ in range(4):
        before = model.contrast.teacher_projector.get_weights()
        model.train_on_batch(batch)
        moved.append(
            any((a != b).any() for a, b in zip(before, model.contrast.teacher_projector.get_weights(), strict=True))
        )
    assert moved == [False, True, False, True]
    # As Keras does under mixed_float16.
    model.optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    seen = []
    model.contrast.update_teacher = lambda encoder, step, moved: seen.append((int(step), bool(moved)))
    for calls in (4, 5, 6):
        optimizer._iterations.assign(calls)
        model.update_teacher()
    assert seen == [(2, True), (2, False), (3, True)]


def test_parts_that_have_learnt_may_join_another_model(make_model, batch):
    model = make_model()
    model.fit(batch, batch_size=8, epochs=1, verbose=0)
    before = [model.contrast.get_weights(), model.entropy.get_weights()]
    other = CLICv2(model.encoder, model.contrast, model.entropy)
    for part, values in zip((other.contrast, other.entropy), before, strict=True):
        for now, then in zip(part.get_weights(), values, strict=True):
            np.testing.assert_array_equal(now, then)


def fix_masks(branch, images):
    """Keep the patches 0 to 3 of each image, hide the others."""
    masks = branch.masking(images, noise=np.tile(np.arange(16, dtype="float32"), (len(images), 1)))
    branch.masking.call = lambda images: masks
    return {name: ops.convert_to_numpy(value) for name, value in masks.items()}


@pytest.mark.usefixtures("one_step")
def test_the_entropy_loss_sees_masked_patches_alone(make_model, batch):
    model = make_model(contrast=None)
    masks = fix_masks(model.entropy, batch["image"])
    seen = {}

    def spy(predictions, targets, training=False, population=None):
        seen.update(count=tuple(predictions.shape), targets=targets)
        return ops.mean(predictions)

    model.entropy.patch_loss.call = spy
    model.entropy(batch["image"], encoder=model.encoder)
    assert seen["count"] == (8, 12)
    np.testing.assert_array_equal(ops.convert_to_numpy(seen["targets"]), masks["entropy"][:, 4:])


def test_the_encoder_never_sees_masked_pixels(make_model, batch):
    model = make_model(contrast=None)
    fix_masks(model.entropy, batch["image"])
    hidden = batch["image"].copy()
    hidden[:, 8:] = 0
    first, second = (model.entropy(x, encoder=model.encoder)["embedding"] for x in (batch["image"], hidden))
    np.testing.assert_array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))


def test_predict_gives_embeddings_without_shift_or_crop(make_model, images):
    model = make_model(views=RandomViews(32, seed=0))
    tokens = ops.convert_to_numpy(model.encoder(images))
    for _ in range(2):
        np.testing.assert_allclose(model.predict(images, verbose=0), tokens.mean(axis=1), atol=1e-5)


@pytest.mark.usefixtures("one_step")
def test_views_are_made_of_arrays_and_never_of_views(make_model, batch, monkeypatch):
    calls = []
    monkeypatch.setattr(RandomViews, "crop", lambda self, images, box, flip: calls.append(1) or images)
    model = make_model(views=RandomViews(32, seed=0))
    model(batch["image"])
    made = len(calls)
    assert made > 0
    model(batch)
    assert len(calls) == made


def test_every_part_is_built_from_the_start(make_model):
    """Else Keras, on several devices, builds it with a mean of batches: floats, which are no images."""
    model = make_model(views=RandomViews(32, seed=0))
    assert [layer.name for layer in model._flatten_layers() if not layer.built] == []


class Batches(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // 4

    def __getitem__(self, index):
        return (self.images[4 * index : 4 * index + 4],)


def test_fit_takes_arrays_and_py_datasets_and_validates(make_model, batch):
    model = make_model(views=RandomViews(32, seed=0))
    history = model.fit(batch["image"], batch_size=4, validation_data=(batch["image"],), verbose=0).history
    assert {"val_loss", "val_contrastive_loss", "val_entropy_loss"} <= set(history)
    assert model.optimizer.iterations == 2
    model.fit(Batches(batch["image"]), epochs=2, verbose=0)
    assert model.optimizer.iterations == 6
    model.fit(batch["image"][:7], batch_size=4, verbose=0)  # an odd last batch
    assert model.optimizer.iterations == 8


@pytest.mark.parametrize("negatives", ["same_position", "entropy_weighted", "same_image"])
def test_a_batch_size_that_is_not_told_compiles(make_model, batch, negatives):
    contrast = {"negatives": negatives, "copies": ("blur",)}
    entropy = {"statistics": ("entropy_half", "entropy_quarter", "gradient_half")}
    model = make_model(contrast, entropy, RandomViews(32, seed=0), run_eagerly=False, jit_compile=False)
    model.fit(batch["image"][:7], batch_size=4, verbose=0)
    assert model.optimizer.iterations == 2


def test_steps_per_execution(make_model, batch):
    if keras.backend.backend() == "torch":
        with pytest.warns(UserWarning, match="steps_per_execution is set to 1"):
            model = make_model(steps_per_execution=2)
    else:
        model = make_model(steps_per_execution=2)
    model.fit(batch, batch_size=2, verbose=0)
    assert model.optimizer.iterations == 4


def test_mixed_precision(make_model, batch):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
        half = model.train_on_batch(batch, return_dict=True)
    finally:
        keras.config.set_dtype_policy("float32")
    full = make_model().train_on_batch(batch, return_dict=True)
    assert model.encoder.compute_dtype == "bfloat16"
    assert {str(ops.convert_to_numpy(w).dtype) for w in model.trainable_variables} == {"float32"}
    for name in ("contrastive_loss", "entropy_loss"):
        np.testing.assert_allclose(half[name], full[name], rtol=0.1)


@pytest.mark.slow
def test_jit_and_eager_agree(make_model, batch):
    """Without random shifts, and with every token: XLA draws other numbers than eager TensorFlow."""
    logs, backend = [], keras.backend.backend()
    for how in ("eager", "jit", "jit of all but products")[: 3 if backend == "tensorflow" else 2]:
        jit = how == "jit" and backend != "torch"
        model = make_model({"shift_mode": "none", "tokens": 16}, None, run_eagerly=how == "eager", jit_compile=jit)
        model.elementwise_jit = how == "jit of all but products"
        model.train_on_batch(batch)
        logs.append(model.train_on_batch(batch, return_dict=True))
    for other in logs[1:]:
        for name in other:
            np.testing.assert_allclose(logs[0][name], other[name], rtol=1e-3, err_msg=name)


def test_products_are_left_out_of_the_jit_in_parts():
    tf = pytest.importorskip("tensorflow")
    from clicv2_keras.models.elementwise_jit_tensorflow import elementwise_jit

    weight = tf.Variable(1.0)

    class Optimizer:
        def apply(self, gradients, variables):
            variables[0].assign_sub(gradients[0])

    class Model:
        optimizer = Optimizer()

        def update_teacher(self):
            weight.assign(2 * weight)

    model = Model()

    @tf.function
    def step(x):
        with elementwise_jit(model):
            y = tf.tanh(x @ x)
            model.optimizer.apply([y[0, 0]], [weight])
            model.update_teacher()
        return y * x

    nodes = step.get_concrete_function(tf.ones((2, 2))).graph.as_graph_def().node
    compiled = {node.op: node.attr["_XlaCompile"].b for node in nodes}
    assert [compiled[op] for op in ("Tanh", "MatMul", "Mul")] == [True, False, False]
    assert [node.attr["_XlaMustCompile"].b for node in nodes if "PartitionedCall" in node.op] == [True, True]
    assert not vars(model) and not vars(model.optimizer), "what was replaced is there again"
    step(tf.ones((2, 2)))
    np.testing.assert_allclose(weight, 2 * (1 - np.tanh(2)), rtol=1e-6)


def test_a_model_saved_mid_training_goes_on_as_if_nothing_had_happened(make_model, batch, tmp_path):
    model = make_model({"momentum": CosineMomentum(0.9, 10)}, views=RandomViews(32, seed=5))
    model.fit(batch["image"], batch_size=4, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for part in ("encoder", "contrast", "entropy", "views"):
        assert getattr(loaded, part).get_config() == getattr(model, part).get_config()
    for each in (model, loaded):
        each.fit(batch["image"], batch_size=4, shuffle=False, verbose=0)
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(new), ops.convert_to_numpy(old), atol=1e-6, err_msg=old.path)


def test_signs_of_a_collapse(make_model):
    from clicv2_keras.models.clicv2 import _spread

    collapsed = {k: float(v) for k, v in _spread(np.ones((8, 16), "float32")).items()}
    assert collapsed["embedding_std"] < 1e-6
    even = {k: float(v) for k, v in _spread(np.concatenate([np.eye(16), -np.eye(16)]).astype("float32")).items()}
    np.testing.assert_allclose([even["embedding_std"], even["effective_rank"]], [1, 16], rtol=1e-4)


def test_nothing_to_learn(make_model):
    with pytest.raises(ValueError, match="Nothing to learn"):
        make_model(None, None)


def test_from_preset_is_the_whole_method():
    model = CLICv2.from_preset("vit_tiny_patch16", image_size=32, depth=1, seed=0)
    assert model.contrast.level == "patch" and model.contrast.tokens == 4
    assert model.entropy.weight == 1.0 and model.views.image_size == 32
    assert CLICv2.from_preset("vit_tiny_patch16", image_size=32, depth=1, entropy=None).entropy is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"tokens": 17}, "tokens must be 1 to the 16 patches"), ({"level": "pixel"}, "level must be one of patch, image")],
)
def test_wrong_arguments(make_model, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(arguments)


@pytest.mark.parametrize(("contrast", "bins"), [({}, 256), ({"bins": 4, "tokens": 16}, 4), ({"level": "image"}, 256)])
def test_negatives_are_weighed_by_the_entropy_of_the_patches_that_the_tokens_read(
    make_model, batch, rng, contrast, bins
):
    branch = make_model({"negatives": "entropy_weighted", **contrast}, None).contrast
    views = {"view_a": batch["view_a"], "view_b": batch["view_b"] // 2}
    offsets = {name: rng.integers(-4, 5, (8, 16, 2)) for name in views}
    drawn = iter(offsets.values())
    branch.shift.draw = lambda rows, grid: next(drawn)
    positions = rng.permutation(16)[: branch.tokens].astype("int32")
    branch._draw_positions = lambda count: positions
    seen = []

    def spy(queries, keys, first=0, query_entropy=None, key_entropy=None):
        seen.append([ops.convert_to_numpy(x) for x in (query_entropy, key_entropy)])
        return ops.sum(queries), ops.sum(keys)

    branch.loss.call = spy
    branch(**views, encoder=make_model(None).encoder)

    def expected(name):
        shifted = reference.shifted_patchify(views[name], 8, offsets[name])
        # Each patch as an image of its own: the reference then cuts nothing.
        whole = reference.patch_entropy(shifted.reshape(-1, 8, 8, 3), 8, bins).reshape(8, 16)
        return whole.mean(axis=1, keepdims=True) if branch.level == "image" else whole[:, positions]

    a, b = expected("view_a"), expected("view_b")
    for found, wanted in zip(seen, ((a, b), (b, a)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_global_term_is_the_image_wise_loss_beside_the_patch_wise_one(make_model, batch):
    def contrastive_loss(**contrast):
        return float(make_model(contrast=contrast, entropy=None)(batch, training=True)["contrastive_loss"])

    patches, image = contrastive_loss(), contrastive_loss(level="image")
    assert image != pytest.approx(patches, rel=1e-3)
    for weight in (0.5, 2.0):
        assert contrastive_loss(global_weight=weight) == pytest.approx(patches + weight * image, rel=1e-5)


def test_one_seed_gives_each_part_draws_of_its_own(make_model):
    """Not positions as the masks, nor shifts as the views, though the seed is one."""
    firsts = []
    for seed in (3, 3, 4):
        model = make_model({"seed": seed}, {"seed": seed}, views=RandomViews(32, seed=seed))
        parts = (model.contrast, model.contrast.shift, model.entropy.masking, model.views)
        states = [ops.convert_to_numpy(part.seed_generator.state) for part in parts]
        assert len({int(state[0]) for state in states}) == 4
        draws = [ops.convert_to_numpy(keras.random.uniform((256,), seed=part.seed_generator)) for part in parts]
        agreement = np.corrcoef(draws) - np.eye(4)
        assert np.abs(agreement).max() < 0.25  # 4 deviations of the correlation of 256 independent draws
        firsts.append(np.stack(draws))
    np.testing.assert_array_equal(firsts[0], firsts[1])
    assert (firsts[0] != firsts[2]).mean() > 0.9


def test_of_one_patch_nothing_can_be_hidden(make_model):
    one = {"encoder": {"image_size": 8}, "contrast": None}
    with pytest.raises(ValueError, match="masked entropy modelling needs two patches or more"):
        make_model(**one)
    make_model(**one, entropy={"mask_ratio": 0, "visible": True})
