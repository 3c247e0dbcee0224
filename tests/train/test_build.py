from tiny_recipe import TINY

from clicv2_keras.train import load_recipe
from clicv2_keras.train.build import build_model


def test_both_branches_count_entropy_in_the_bins_of_the_recipe():
    overrides = [*TINY, "encoder.patch_size=8", "entropy.bins=12", "contrast.negatives=entropy_weighted"]
    model = build_model(load_recipe("quickstart", overrides))
    assert model.contrast.entropy.bins == model.entropy.masking.entropy.bins == 12
