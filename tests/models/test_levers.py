"""What goes beyond the paper's reading: each part switched on by itself, with what it must bring about."""

import keras
import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import ShiftedPatchify, patchify
from clicv2_keras.models import CLICv2, ContrastiveBranch, MaskedEntropyBranch, ViTEncoder
from clicv2_keras.utils.procedural import procedural_image

LEVERS = {
    "parts": ({"keep_ratio": 0.5}, {}),
    "parts, pooled": ({"keep_ratio": 0.5, "global_weight": 1.0, "negatives": "entropy_weighted"}, None),
    "parts, image-wise": ({"keep_ratio": 0.25, "level": "image"}, None),
    "same image": ({"negatives": "same_image", "position_codes": False}, None),
    "copies": ({"copies": ["blur", "tile"], "keep_ratio": 0.5}, None),
    "copies, image-wise": ({"copies": ["scale"], "level": "image", "energy_weight": 0.25}, None),
    "energy": ({"level": "image", "energy_weight": 0.25}, None),
    "statistics": (None, {"statistics": ["entropy", "colors"], "visible": True, "target": "both"}),
    "ratios": ({}, {"mask_ratio": [0, 0.5, 0.75], "visible": True}),
    "whole images": (None, {"mask_ratio": 0, "visible": True, "statistics": ["gradient", "deviation"]}),
}


def number(values):
    return {name: ops.convert_to_numpy(value) for name, value in values.items()}


@pytest.mark.parametrize(("contrast", "entropy"), LEVERS.values(), ids=LEVERS)
def test_every_lever_of_the_ablation_trains_and_is_saved(make_model, batch, contrast, entropy, tmp_path):
    model = make_model(contrast, entropy)
    history = model.fit(batch, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    assert ("order" in history) == bool(contrast and contrast.get("copies"))
    assert ("layout_retrieval" in history) == (contrast is not None)
    trained = {id(variable) for variable in model.trainable_variables}
    assert all(id(v) in trained for part in (model.contrast, model.entropy) if part for v in part.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for part in ("contrast", "entropy"):
        if getattr(model, part) is not None:
            assert getattr(loaded, part).get_config() == getattr(model, part).get_config()
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(new), ops.convert_to_numpy(old))


def spied(branch, encoder, monkeypatch):
    """Lists of what the encoder was asked for."""
    calls, encode = [], encoder.encode

    def spy(patches, **settings):
        calls.append(settings)
        return encode(patches, **settings)

    monkeypatch.setattr(encoder, "encode", spy)
    return calls


@pytest.mark.parametrize(("ratio", "tokens", "kept", "common"), [(0.5, 4, 8, 4), (0.75, 4, 12, 8), (0.25, 2, 4, 2)])
def test_views_keep_another_part_each_and_share_what_is_contrasted(
    make_model, batch, monkeypatch, ratio, tokens, kept, common
):
    model = make_model({"keep_ratio": ratio, "tokens": tokens}, None)
    calls = spied(model.contrast, model.encoder, monkeypatch)
    for _ in range(2):
        model.contrast(batch["view_a"], batch["view_b"], encoder=model.encoder)
    keeps = [ops.convert_to_numpy(call["keep"]) for call in calls]
    for keep in keeps:
        assert keep.shape == (16, kept)
        first, second = keep[:8], keep[8:]
        assert (first == first[0]).all() and (second == second[0]).all(), "one draw for the batch"
        assert all(len(set(row)) == kept for row in (first[0], second[0]))
        np.testing.assert_array_equal(first[0][:tokens], second[0][:tokens])
        # As few others in common as 16 patches allow.
        assert len(set(first[0]) & set(second[0])) == common
    assert (keeps[0] != keeps[1]).any(), "each step draws anew"


@pytest.mark.parametrize("negatives", ["same_position", "same_image"])
def test_the_loss_of_parts_is_that_of_the_tokens_that_both_views_have(make_model, batch, monkeypatch, negatives):
    """Each view's kept patches encoded by themselves, through NumPy; no shift, so that patches are known."""
    branch = {"keep_ratio": 0.5, "shift_mode": "none", "negatives": negatives, "position_codes": False}
    model = make_model(branch, None)
    contrast, encoder = model.contrast, model.encoder
    order = np.random.default_rng(3).permutation(16).astype("int32")
    contrast._draw_positions = lambda count: ops.convert_to_tensor(order)
    views = {"view_a": batch["view_a"], "view_b": 255 - batch["view_b"]}
    parts = number(contrast(**views, encoder=encoder))

    def tokens(view, keep):
        kernel, bias = encoder.patch_projection.get_weights()
        pixels = reference.patchify(view, 8)[:, keep].astype("float64") / 127.5 - 1
        mean = pixels.mean(axis=2, keepdims=True)
        x = (mean + encoder.detail_gain * (pixels - mean)).reshape(8, len(keep), -1) @ kernel + bias
        for block in encoder.blocks:
            x = reference.transformer_block(x, block.get_weights(), heads=2)
        return reference.layer_norm(x, *encoder.norm.get_weights())[:, :4].astype("float32")

    # The teacher is the student's copy still.
    both = np.concatenate([tokens(views["view_a"], order[:8]), tokens(views["view_b"], [*order[:4], *order[12:]])])
    keys = contrast.teacher_projector(both)
    queries = ops.convert_to_numpy(contrast.predictor(contrast.projector(both)))
    (query_a, query_b), (key_a, key_b) = np.split(queries, 2), np.split(ops.convert_to_numpy(keys), 2)
    directions = [reference.info_nce(*pair, 0.2, negatives) for pair in ((query_a, key_b), (query_b, key_a))]
    loss, hits = np.sum(directions, axis=0)
    np.testing.assert_allclose(parts["contrastive_loss"], loss, rtol=1e-3)
    np.testing.assert_allclose(parts["retrieval"], hits / 2, atol=1e-6)
    thumbnails = []
    for view, keep in ((views["view_a"], order[:8]), (views["view_b"], [*order[:4], *order[12:]])):
        visible = np.isin(np.arange(16), keep).reshape(4, 4).repeat(8, axis=0).repeat(8, axis=1)
        thumbnails.append(np.stack([reference.layout_thumbnail(image, visible) for image in view]))
    nearest = (thumbnails[0] @ thumbnails[1].T).argmax(axis=1)
    np.testing.assert_allclose(parts["layout_retrieval"], np.mean(nearest == np.arange(8)))


def test_layout_is_found_in_whole_views_and_not_in_parts_with_nothing_in_common(make_model):
    whole, parts = (make_model({"keep_ratio": ratio, "level": "image", "max_shift": 1}, None) for ratio in (1.0, 0.5))
    pictures = np.stack([procedural_image(seed, 32)[0] for seed in range(16)])

    def found(model):
        return float(model.contrast(pictures, pictures, encoder=model.encoder)["layout_retrieval"])

    assert found(whole) > 0.9
    assert np.mean([found(parts) for _ in range(8)]) < 0.5


def test_without_position_codes_a_token_is_the_same_wherever_it_stands(make_model, images, rng):
    encoder, order = make_model().encoder, rng.permutation(16)
    patches = ops.convert_to_tensor(reference.patchify(images, 8))
    moved = ops.take(patches, order, axis=1)
    for positions, same in ((False, True), (True, False)):
        tokens, there = (ops.convert_to_numpy(encoder.encode(each, positions=positions)) for each in (patches, moved))
        assert np.allclose(tokens[:, order], there, atol=1e-4) == same


def test_only_the_contrast_forgets_positions(make_model, batch, monkeypatch):
    model = make_model({"position_codes": False}, {})
    calls = spied(model.contrast, model.encoder, monkeypatch)
    model(batch)
    assert [call.get("positions", True) for call in calls] == [True, False]


def test_copies_are_candidates_of_one_direction_and_ranked_by_a_linear_read_out(make_model, batch):
    model = make_model({"copies": ["blur", "tile"], "margin": 0.5, "copies_weight": 2.0, "shift_mode": "none"}, None)
    contrast, encoder = model.contrast, model.encoder
    kinds = np.array([0, 1] * 4, "int32")
    copies, signs = contrast.other_complexity(batch["view_a"], kind=kinds)
    contrast.other_complexity.call = lambda images: (copies, signs)
    order = np.arange(16, dtype="int32")[::-1].copy()
    contrast._draw_positions = lambda count: ops.convert_to_tensor(order)
    view_b = 255 - batch["view_b"]
    parts = number(contrast(batch["view_a"], view_b, encoder=encoder))

    read = np.concatenate([ops.convert_to_numpy(encoder(x)) for x in (batch["view_a"], view_b, copies)])[:, order[:4]]
    keys = np.split(ops.convert_to_numpy(contrast.teacher_projector(read)), 3)
    queries = np.split(ops.convert_to_numpy(contrast.predictor(contrast.projector(read[:16]))), 2)
    loss = reference.info_nce(queries[0], keys[1], 0.2, "same_position")[0]
    loss += reference.info_nce(queries[1], keys[0], 0.2, "same_position", copies=keys[2])[0]
    value = read.mean(axis=1) @ contrast.order.get_weights()[0][:, 0]
    above = np.array([1, -1] * 4) * (value[:8] - value[16:])
    loss += 2.0 * np.maximum(0.5 - above, 0).mean()
    np.testing.assert_allclose(parts["contrastive_loss"], loss, rtol=1e-3)
    np.testing.assert_allclose(parts["order"], np.mean(above > 0))
    assert parts["embedding"].shape == (16, 16)


@pytest.mark.slow
def test_a_copy_is_shifted_as_its_image(make_model, batch):
    contrast = make_model({"copies": ["blur"], "shift_mode": "patch"}, None).contrast
    view = batch["view_a"]
    contrast.other_complexity.call = lambda images: (images, ops.ones(len(images)))  # a copy that is the image
    seen = []
    encode = contrast.teacher_encoder.encode
    contrast.teacher_encoder.encode = lambda patches, **settings: seen.append(patches) or encode(patches, **settings)
    contrast(view, batch["view_b"], encoder=contrast.teacher_encoder)
    of_a, of_b, of_copy = np.split(ops.convert_to_numpy(seen[0]), 3)
    np.testing.assert_array_equal(of_a, of_copy)
    assert (of_a != ops.convert_to_numpy(patchify(view, contrast.shift.patch_size))).any()


def test_learning_from_copies_what_is_simpler(make_model, rng):
    """Twelve steps, and blurred copies of unseen images are told from them."""
    model = make_model(
        {"copies": ["blur"], "copies_weight": 10.0},
        None,
        encoder={"depth": 1},
        optimizer=keras.optimizers.Adam(1e-2),
    )
    images = rng.integers(0, 256, (72, 32, 32, 3)).astype("uint8")
    model.fit({name: images[:64] for name in ("image", "view_a", "view_b")}, batch_size=32, epochs=6, verbose=0)
    assert float(model.contrast(images[64:], images[64:], encoder=model.encoder)["order"]) == 1


def test_the_energy_term_is_the_squared_difference_from_the_views_entropy(make_model, batch):
    def parts(weight):
        model = make_model({"level": "image", "energy_weight": weight, "shift_mode": "none"}, None)
        return model, float(model(batch)["contrastive_loss"])

    (model, with_it), (_, without) = parts(0.25), parts(0.0)
    views = np.concatenate([batch["view_a"], batch["view_b"]])
    energy = np.abs(ops.convert_to_numpy(model.encoder(views))).mean(axis=(1, 2))
    energy = (energy - energy.min()) / (energy.max() - energy.min())
    entropy = reference.patch_entropy(views, 32, 256)[:, 0]
    np.testing.assert_allclose(with_it - without, 0.25 * np.mean((energy - entropy) ** 2), rtol=1e-3)


def test_each_mask_ratio_has_its_part_of_the_batch(make_model, batch, monkeypatch):
    model = make_model(None, {"mask_ratio": [0, 0.5, 0.75], "visible": True})
    calls = spied(model.entropy, model.encoder, monkeypatch)
    parts = number(model.entropy(batch["image"], encoder=model.encoder, training=True))
    shapes = [None if call["keep"] is None else tuple(call["keep"].shape) for call in calls]
    assert shapes == [None, (3, 8), (2, 4)]
    assert parts["embedding"].shape == (8, 16)
    # A model that knows nothing yet: each part's error is about 1, and the two losses add up.
    assert 1 < parts["entropy_loss"] < 8


@pytest.mark.parametrize(("left", "compiled"), [(1, True), (2, False)])
def test_a_last_batch_may_have_fewer_images_than_there_are_mask_ratios(make_model, batch, left, compiled):
    entropy = {"mask_ratio": [0, 0.5, 0.75], "visible": True, "target": "both"}
    model = make_model(None, entropy, run_eagerly=not compiled)
    history = model.fit(batch["image"][: 4 + left], batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite(list(history.values())).all() and all(np.isfinite(w).all() for w in model.get_weights())
    # Of whole images alone nothing is hidden: what they have is read off their tokens.
    found = model.entropy(batch["image"][:1], encoder=model.encoder)
    assert found["embedding"].shape == (1, 16) and number(found)["entropy_loss"] > 0


def test_losses_of_hidden_and_visible_patches_and_of_images_agree_with_numpy(make_model, batch):
    names = ("entropy", "deviation")
    model = make_model(None, {"statistics": names, "visible": True, "mask_ratio": [0.25, 0.75], "target": "both"})
    branch, encoder = model.entropy, model.encoder
    halves = [batch["image"][i::2] for i in range(2)]
    noise = np.random.default_rng(1).random((4, 16)).astype("float32")
    masks = [branch.masking(half, noise=noise, mask_ratio=r) for half, r in zip(halves, (0.25, 0.75), strict=True)]
    drawn = iter(masks)
    branch.masking.call = lambda images, mask_ratio: next(drawn)
    found = float(branch(batch["image"], encoder=encoder, training=True)["entropy_loss"])

    known, errors, predicted = ({kind: [] for kind in ("hidden", "visible", "image")} for _ in range(3))
    for half, mask in zip(halves, masks, strict=True):
        keep, masked = (ops.convert_to_numpy(mask[name]) for name in ("keep", "masked"))
        squares = reference.patchify(half, 8).reshape(4, 16, 8, 8, 3)
        values = np.array(
            [[[reference.patch_statistic(name, p, 256) for name in names] for p in image] for image in squares]
        )
        tokens = encoder.encode(patchify(half, 8), keep=keep)
        predicted["hidden"].append(ops.convert_to_numpy(branch.decoder(tokens, keep, masked)))
        kernel, bias = branch.visible_head.get_weights()
        predicted["visible"].append(ops.convert_to_numpy(tokens) @ kernel + bias)
        kernel, bias = branch.image_head.get_weights()
        predicted["image"].append(ops.convert_to_numpy(tokens).mean(axis=1) @ kernel + bias)
        known["image"].append(values.mean(axis=1))
        for kind, index in (("hidden", masked), ("visible", keep)):
            known[kind].append(np.take_along_axis(values, index[..., None], axis=1))
    for kind, targets in known.items():
        flat = np.concatenate([each.reshape(-1, 2) for each in targets])
        for target, guess in zip(targets, predicted[kind], strict=True):
            errors[kind].append(np.mean((guess - (target - flat.mean(0)) / flat.std(0)) ** 2))
    np.testing.assert_allclose(found, sum(np.mean(each) for each in errors.values()), rtol=1e-3)


def test_a_patch_is_scored_by_the_passes_that_do_not_see_it(make_model, batch):
    model = make_model(None, {})
    branch, encoder, images = model.entropy, model.encoder, batch["image"][:2]
    table = np.random.default_rng(2).random((2, 16)).astype("float32")
    passes = []

    def predict(visible, keep, masked):
        keep, masked = (ops.convert_to_numpy(each) for each in (keep, masked))
        passes.append(keep[0])
        assert visible.shape[1] == 4 and sorted({*keep[0], *masked[0]}) == list(range(16))
        # The k-th pass says k more.
        return ops.convert_to_tensor(np.take_along_axis(table, masked, axis=1) + len(passes))

    branch.predict = predict
    found = ops.convert_to_numpy(branch.patch_scores(images, None, encoder))
    seen_in = np.array([next(k for k, keep in enumerate(passes, 1) if patch in keep) for patch in range(16)])
    np.testing.assert_allclose(found, table + (1 + 2 + 3 + 4 - seen_in) / 3, rtol=1e-5)


def test_what_a_patch_holds_does_not_tell_in_its_own_score(make_model, batch):
    model = make_model(None, {})
    scores = []
    for grey in (0, 255):
        images = batch["image"][:2].copy()
        images[:, 8:16, 16:24] = grey
        scores.append(ops.convert_to_numpy(model.entropy.patch_scores(images, None, model.encoder)))
    place = 1 * 4 + 2
    np.testing.assert_allclose(scores[0][:, place], scores[1][:, place], atol=1e-6)
    assert (scores[0] != scores[1]).any()


def test_of_several_statistics_the_first_is_scored(make_model, batch):
    branch = make_model(None, {"statistics": ("deviation", "entropy")}).entropy
    encoder = make_model().encoder
    scores = ops.convert_to_numpy(branch.patch_scores(batch["image"], None, encoder))
    assert scores.shape == (8, 16) and scores.min() >= 0 and scores.max() <= 1
    silent = make_model(None, {"mask_ratio": 0, "visible": True}).entropy
    with pytest.raises(ValueError, match="not trained on hidden patches"):
        silent.patch_scores(batch["image"], None, encoder)


@pytest.mark.parametrize(
    ("part", "arguments", "message"),
    [
        ("contrast", {"keep_ratio": 0.0}, "keep_ratio must be above 0"),
        ("contrast", {"keep_ratio": 0.2}, "tokens must be 1 to the 3 patches of a view, got 4"),
        ("contrast", {"negatives": "same_image", "level": "image"}, "contrasts the tokens of an image"),
        ("contrast", {"negatives": "same_image", "global_weight": 1.0}, "contrasts the tokens of an image"),
        ("contrast", {"copies": ["blurred"]}, "kinds must be some of"),
        ("entropy", {"mask_ratio": 0.0}, "hides nothing"),
        ("entropy", {"statistics": ["entropi"]}, "names must be some of"),
    ],
)
def test_wrong_arguments(make_model, part, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(**{part: arguments})


def test_one_seed_gives_the_copies_draws_of_their_own():
    encoder = ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)
    contrast = ContrastiveBranch(tokens=4, projector_hidden=16, projection_dim=8, copies=["blur"], seed=3)
    model = CLICv2(encoder, contrast, MaskedEntropyBranch(decoder_width=32, seed=3))
    parts = (contrast, contrast.shift, contrast.other_complexity, model.entropy.masking)
    assert isinstance(contrast.shift, ShiftedPatchify)
    assert len({int(ops.convert_to_numpy(part.seed_generator.state)[0]) for part in parts}) == 4
