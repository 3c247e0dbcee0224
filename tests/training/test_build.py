from keras import ops
from tiny_recipe import TINY

from clicv2_keras.models import CLICv2
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.build import build_encoder, build_model


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
