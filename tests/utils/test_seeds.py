import numpy as np

from clicv2_keras.utils.seeds import seed_for


def test_each_consumer_has_its_own_seeds():
    consumers = ("ContrastiveBranch", "ShiftedPatchify", "EntropyMasking", "RandomViews", "Pictures", "undisputed")
    seeds = np.array([[seed_for(seed, consumer) for consumer in consumers] for seed in range(100)])
    assert seeds.min() >= 0 and seeds.max() < 2**31
    assert len(np.unique(seeds)) == seeds.size
    # Far apart too, within a recipe: PyTorch adds its count of draws to the seed.
    assert np.diff(np.sort(seeds, axis=1)).min() > 1_000
    assert seed_for(7, "RandomViews") == seed_for(7, "RandomViews")
    assert seed_for(None, "RandomViews") is None
