import shutil

import pytest
from keras import backend, ops
from tiny_network import tiny_feature_maps
from tiny_recipe import TINY

from clicv2_keras.layers import FeatureStem
from clicv2_keras.models import CLICv2, ViTEncoder
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.batches import measure_images
from clicv2_keras.training.build import build_encoder, build_model
from clicv2_keras.training.plan import describe_run
from clicv2_keras.training.run import train
from clicv2_keras.training.source import recipe_source
from clicv2_keras.training.weight_average import averaged_encoder
from clicv2_keras.utils.errors import UserError


def test_both_branches_count_entropy_in_the_bins_of_the_recipe():
    overrides = [*TINY, "encoder.patch_size=8", "entropy.bins=12", "contrast.negatives=entropy_weighted"]
    model = build_model(load_recipe("quickstart", overrides))
    assert model.contrast.entropy.bins == model.entropy.masking.entropy.bins == 12


def test_no_two_streams_of_a_recipe_or_a_preset_have_one_seed():
    for seed in (0, 1):
        recipe = load_recipe("quickstart", [*TINY, "data.source=procedural", f"seed={seed}"])
        for model in (build_model(recipe), CLICv2.from_preset("vit_tiny_patch16", depth=1, image_size=96, seed=seed)):
            states = [v for v in model.variables if "seed_generator" in v.path]
            seeds = {int(ops.convert_to_numpy(state)[0]) for state in states}
            assert len(seeds) == len(states) >= 3


def test_an_encoder_that_was_saved_frozen_is_trained_as_any_other(tiny_encoder, tmp_path):
    frozen = tiny_encoder.copy()
    frozen.trainable = False
    frozen.save(tmp_path / "frozen.keras")
    settings = ["data.image_size=32", f"encoder={{depth: null, weights: {tmp_path / 'frozen.keras'}}}"]
    for more, count in (([], 14), (["encoder.freeze_patch_projection=false"], 16)):
        encoder = build_encoder(load_recipe("quickstart", [*settings, "contrast.tokens=4", *more]))
        assert len(encoder.trainable_variables) == count


def test_keys_that_say_otherwise_than_the_weights_are_mistakes(tiny_encoder, tmp_path):
    tiny_encoder.save(tmp_path / "plain.keras")
    stem = FeatureStem(tiny_feature_maps())
    ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2, stem=stem).save(tmp_path / "hybrid.keras")

    def start(name, *more):
        settings = ["data.image_size=32", f"encoder={{depth: null, weights: {tmp_path / name}}}", "contrast.tokens=4"]
        return build_encoder(load_recipe("quickstart", [*settings, *more]))

    for name, more in (
        ("plain.keras", "encoder.detail_gain=1"),
        ("plain.keras", "encoder.preset=vit_base_patch16"),
        ("hybrid.keras", "encoder.stem_skip=false"),
    ):
        key, _, value = more.partition("=")
        with pytest.raises(UserError, match=f"(?i)--set: {key}: {value}.* is not what .*{name} has; leave the key out"):
            start(name, more)
    # Where it has no part, or is the default, it asks for nothing.
    assert start("hybrid.keras", "encoder.detail_gain=1").stem is not None
    assert start("plain.keras", "encoder.stem_skip=false", "encoder.detail_gain=4").stem is None


def test_what_the_shape_of_the_weights_demands_of_other_keys(tiny_encoder, tmp_path):
    tiny_encoder.save(tmp_path / "start.keras")  # 4 x 4 patches of 8 pixels
    start = ["data.image_size=32", f"encoder={{depth: null, weights: {tmp_path / 'start.keras'}}}"]
    procedural = ["data.source=procedural", "data.num_images=8", "train.batch_size=4", f"run.dir={tmp_path / 'run'}"]
    for more, message in (
        ("contrast.tokens=17", "--set: contrast.tokens: 17 of an image's 16 patches; take 16 or fewer"),
        ("contrast.max_shift=9", "--set: contrast.max_shift: 9 is more than the patch of 8 pixels"),
    ):
        for call in (describe_run, train):
            with pytest.raises(UserError, match=f"^{message}$"):
                call("quickstart", [*start, *procedural, "contrast.tokens=4", more])
    assert not (tmp_path / "run").exists()


def test_a_row_that_is_not_trained_has_any_schedule():
    for keys in (["optimizer.warmup_steps=5"], ["optimizer.schedule=constant_then_decay", "optimizer.decay_steps=9"]):
        assert build_model(load_recipe("quickstart", [*TINY, "train.steps=0", *keys])).optimizer.built


def test_a_teacher_begins_with_the_statistics_of_its_students_stem(jpegs, tmp_path):
    tiny_feature_maps().save(tmp_path / "stem.keras")
    keys = [f"data.path={jpegs}", f"encoder.stem={tmp_path / 'stem.keras'}", "guide.sample=9"]
    recipe = load_recipe("quickstart", [*TINY, *keys])
    model = build_model(recipe)
    measure_images(model, recipe, recipe_source(recipe), None)
    assert ops.convert_to_numpy(model.encoder.stem.mean).any()
    for mine, teachers in zip(model.encoder.weights, model.contrast.teacher_encoder.weights, strict=True):
        assert (ops.convert_to_numpy(mine) == ops.convert_to_numpy(teachers)).all(), mine.path


def test_a_step_is_compiled_where_keras_would_or_always():
    by_keras = {"tensorflow": False, "jax": True, "torch": False}[backend.backend()]
    for settings, compiled, in_parts in (
        (["train.jit=true"], by_keras, False),
        (["train.jit=false"], False, False),
        (["train.jit=always", "train.precision=bfloat16"], by_keras, True),
        (["train.jit=always"], True, False),
        (["train.jit=always", "distribution.strategy=data_parallel"], by_keras, True),
    ):
        model = build_model(load_recipe("quickstart", [*TINY, *settings]))
        assert (model.jit_compile, model.elementwise_jit) == (compiled, in_parts), settings


def test_before_the_first_step_there_is_no_average():
    model = build_model(load_recipe("quickstart", [*TINY, "contrast.level=none", "optimizer.average=0.9"]))
    assert averaged_encoder(model) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("data: {source: folder, path: nowhere}", "mine.yaml: data.path: nowhere: there is no such folder"),
        ("encoder: {weights: no.keras, depth: null}", "mine.yaml: encoder.weights: .*no.keras: there is no such file"),
        ("encoder: {stem: no.keras}", "mine.yaml: encoder.stem: no.keras: there is no such file"),
        (
            "encoder: {stem: network.keras, stem_stride: 1}",
            r"mine.yaml: encoder.stem_stride: network.keras: max_stride=1 leaves no map; the strides are \[2, 4",
        ),
        ("guide: {teacher: no.keras}", "mine.yaml: guide.teacher: no.keras: there is no such file"),
    ],
)
def test_a_mistake_that_files_show_names_the_recipe_and_its_key(text, line, tmp_path, monkeypatch, network):
    monkeypatch.chdir(tmp_path)
    shutil.copy(network, "network.keras")
    (tmp_path / "mine.yaml").write_text(f"extends: quickstart\n{text}\n")
    with pytest.raises(UserError, match=f"^{line}"):
        describe_run(load_recipe("mine.yaml"))
