import math

import keras
import numpy as np
import pytest
from tiny_network import tiny_feature_maps

from clicv2_keras.layers import FeatureStem
from clicv2_keras.models import FeatureMaps, ViTEncoder
from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.build import build_model, with_shape
from clicv2_keras.training.measured_cost import network_cost, recipe_networks
from clicv2_keras.training.plan import recipe_cost
from clicv2_keras.training.source import label_sets

TINY = ["encoder.width=16", "encoder.depth=2", "encoder.num_heads=2", "contrast.projector_hidden=24", "train.jit=false"]


def parameters(variables):
    return sum(math.prod(v.shape) for v in variables)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["entropy.weight=0", "encoder.freeze_patch_projection=false"],
        ["contrast.level=none", "entropy.target=both", "entropy.decoder_width=64"],
        ["contrast.level=image", "entropy.target=image", "data.image_size=64", "encoder.patch_size=8"],
        ["guide.teacher=pixels"],
        ["contrast.keep_ratio=0.5", "contrast.copies=[blur, tile]"],
        ["entropy.statistics=[entropy, colors]", "entropy.visible=true", "entropy.target=both"],
        ["entropy.mask_ratio=0", "entropy.visible=true"],
    ],
)
def test_parameters_are_those_of_the_model(overrides):
    recipe = load_recipe("quickstart", [*TINY, *overrides])
    model, cost = build_model(recipe), count_cost(recipe)
    assert cost.trainable == parameters(model.trainable_variables)
    assert cost.encoder == parameters(model.encoder.weights)
    if model.contrast:
        teacher = [*model.contrast.teacher_encoder.weights, *model.contrast.teacher_projector.weights]
        assert cost.teacher == parameters(teacher)


@pytest.mark.parametrize("more", [[], ["encoder.stem_rate=0.1", "contrast.level=patch", "entropy.weight=1"]])
def test_parameters_of_a_guided_hybrid_are_those_of_the_model(network, more):
    overrides = [*TINY, f"encoder.stem={network}", f"guide.teacher={network}"]
    recipe = load_recipe("quickstart", [*overrides, "contrast.level=none", "entropy.weight=0", *more])
    model, (cost, _) = build_model(recipe), recipe_cost(recipe)
    assert cost.trainable == parameters(model.trainable_variables)
    assert cost.encoder == parameters(model.encoder.weights)
    assert cost.guide == parameters(tiny_feature_maps().weights) == parameters(model.guide.teacher.weights)
    # 3 × 3 kernels from 3 to 4, 6, 8 and 10 channels at strides 2 to 16 of 96 pixels.
    shapes = zip((3, 4, 6, 8), (4, 6, 8, 10), (48, 24, 12, 6), strict=True)
    flops = sum(2 * 9 * before * after * side**2 for before, after, side in shapes)
    assert recipe_networks(recipe)[1].flops == flops


def test_networks_within_a_network_are_counted():
    maps, image = tiny_feature_maps(), keras.Input((None, None, 3))
    wrapped = FeatureMaps(keras.Model(image, maps.network(image)))
    assert network_cost(wrapped, 96).flops == network_cost(maps, 96).flops > 0
    # Without a kernel of its own it is no mistake.
    pooled = FeatureMaps(keras.Model(image, keras.layers.AveragePooling2D(2)(image)))
    assert network_cost(pooled, 96).flops == 0


def test_attention_within_a_network_is_counted():
    image = keras.Input((32, 32, 3))
    tokens = keras.layers.Reshape((16, 24))(keras.layers.Conv2D(24, 8, strides=8, use_bias=False)(image))
    attended = keras.layers.MultiHeadAttention(2, 12, use_bias=False)(tokens, tokens)
    features = FeatureMaps(keras.Model(image, keras.layers.Reshape((4, 4, 24))(attended)))
    patches, products, attention = 2 * 16 * 192 * 24, 2 * 16 * 4 * 24**2, 4 * 16**2 * 24
    assert network_cost(features, 32).flops == patches + products + attention


def test_what_a_stem_that_is_trained_keeps_is_counted(network):
    overrides = [*TINY, f"encoder.stem={network}", "contrast.level=none", "guide.teacher=pixels"]
    frozen, trained = (
        recipe_cost(load_recipe("quickstart", [*overrides, f"encoder.stem_rate={rate}"]))[0] for rate in (0, 0.1)
    )
    recipe = load_recipe("quickstart", overrides)
    numbers = recipe_networks(recipe, with_shape(recipe)[1])[0].activations
    # As four maps of 4, 6, 8 and 10 channels at least, at strides of 2 to 16 of 96 pixels.
    assert numbers >= sum(channels * side**2 for channels, side in ((4, 48), (6, 24), (8, 12), (10, 6)))
    images = recipe.train.batch_size
    passes = 2  # masked modelling and the guide
    assert trained.activation_bytes - frozen.activation_bytes == passes * 4 * images * numbers


def test_the_start_of_a_head_may_take_more_than_a_step():
    keys = ["contrast.level=none", "entropy.weight=0", "labels={dataset: csv, root: here.csv, parts: [token]}"]
    recipe = load_recipe("quickstart", keys)
    few, many = (count_cost(recipe, labelled=count) for count in (100, 1_000_000))
    assert few.activation_bytes == count_cost(recipe).activation_bytes
    assert many.activation_bytes == 4 * 1_000_000 * many.patches * recipe.encoder.shape()["width"]


@pytest.mark.parametrize("rate", [0, 0.1])
def test_a_stem_is_counted_wherever_it_comes_from(tmp_path, rate):
    # A network that was saved frozen is trained as well where a rate says so.
    features = tiny_feature_maps()
    features.trainable = False
    features.save(tmp_path / "frozen.keras")
    stem = FeatureStem(tiny_feature_maps())
    hybrid = ViTEncoder(image_size=96, width=16, depth=2, num_heads=2, stem=stem, stem_skip=False)
    hybrid.save(tmp_path / "hybrid.keras")
    named = load_recipe("quickstart", [*TINY, f"encoder={{stem: {tmp_path / 'frozen.keras'}, stem_skip: false}}"])
    brought = load_recipe("quickstart", [f"encoder={{weights: {tmp_path / 'hybrid.keras'}, depth: null}}", *TINY[3:]])
    found = []
    for recipe in (named, brought):
        recipe = recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"stem_rate": rate})})
        model, (cost, _) = build_model(recipe), recipe_cost(recipe)
        assert cost.trainable == parameters(model.trainable_variables)
        assert cost.encoder == parameters(model.encoder.weights)
        found.append(cost)
    assert found[0] == found[1]


def test_parameters_of_labels_are_those_of_the_model(ic9600):
    labels = f"labels={{dataset: ic9600, root: {ic9600}, within_category: true}}"
    recipe = load_recipe("quickstart", [*TINY, labels])
    sets = label_sets(recipe)
    model, (cost, shaped) = build_model(recipe, sets), recipe_cost(recipe, sets)
    assert len(sets.group_names) == 3 and shaped.encoder.width == 16
    assert cost.trainable == parameters(model.trainable_variables)


def test_a_head_that_reads_diversity_costs_its_products():
    keys = ["contrast.level=none", "entropy.weight=0", "labels={dataset: csv, root: here.csv}"]
    token, every = (count_cost(load_recipe("quickstart", [*keys, *more])) for more in (["labels.parts=[token]"], []))
    patches = every.patches
    steps = sum(int(np.ceil(np.log2(16 * patches * shrink))) + 4 for shrink in (64, 4))
    # Two crops, forward and twice that backward, two products of N x N x N a step.
    assert every.flops_per_image - token.flops_per_image == 2 * 3 * steps * 2 * 2 * patches**3
    assert every.activation_bytes > token.activation_bytes


def test_flops_of_a_vit_tiny_forward_pass_are_the_known_ones():
    # 1.26 G multiply-adds at 224 pixels (DeiT, arXiv 2012.12877); a class token less, a small head more.
    cost = count_cost(load_recipe("clicv2_vit_tiny", ["entropy.weight=0", "contrast.level=image"]))
    multiply_adds = cost.flops_per_image / 2
    # Two views, the student forward and twice that backward, the teacher forward.
    assert multiply_adds / (2 * (3 + 1)) == pytest.approx(1.25e9, rel=0.01)


def test_half_of_the_patches_cost_half_of_the_contrast():
    def flops(*overrides):
        return count_cost(load_recipe("clicv2_vit_tiny", ["entropy.weight=0", *overrides])).flops_per_image

    assert 0.45 < flops("contrast.keep_ratio=0.5") / flops() < 0.55
    # A third view, student and teacher; the heads' queries stay two.
    assert 1.4 < flops("contrast.copies=[blur]") / flops() < 1.5


def test_of_several_mask_ratios_the_mean_is_counted():
    def flops(ratio):
        return count_cost(load_recipe("quickstart", [f"entropy.mask_ratio={ratio}"])).flops_per_image

    assert flops("[0.25, 0.75]") == pytest.approx((flops(0.25) + flops(0.75)) / 2)


def test_recomputation_keeps_less_and_counts_the_same_state():
    plain, recomputed = (count_cost(load_recipe("clicv2_vit_tiny", [f"train.recompute={on}"])) for on in (False, True))
    assert recomputed.activation_bytes < plain.activation_bytes / 2
    assert recomputed.state_bytes == plain.state_bytes
    # Of the student's passes, forward and twice that backward, a fourth.
    assert 1.15 < recomputed.flops_per_image / plain.flops_per_image < 1.34


def test_what_each_token_is_compared_with_is_counted():
    def cost(negatives):
        more = [f"contrast.negatives={negatives}", "contrast.tokens=16", "train.batch_size=256"]
        return count_cost(load_recipe("clicv2_vit_tiny", more))

    one, all_of_them, weighted = (cost(each) for each in ("same_position", "all", "entropy_weighted"))
    pairs = 2 * 16 * (16 - 1) * 256  # an image, both ways
    assert all_of_them.activation_bytes - one.activation_bytes == pairs * 2 * 256 * 4
    assert all_of_them.flops_per_image - one.flops_per_image == pairs * 4 * 256
    assert weighted.flops_per_image == all_of_them.flops_per_image
    assert weighted.activation_bytes > all_of_them.activation_bytes


def test_the_average_of_the_weights_is_one_more_of_each():
    def cost(average):
        return count_cost(load_recipe("quickstart", ["contrast.level=none", f"optimizer.average={average}"]))

    assert cost(0.999).state_bytes - cost(0).state_bytes == 4 * cost(0).trainable
