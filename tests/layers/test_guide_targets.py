import numpy as np
import pytest
from keras import ops
from reference import side_by_side
from tiny_network import tiny_feature_maps

from clicv2_keras.layers import GuideTargets


@pytest.fixture
def pixels(rng):
    amplitude = rng.uniform(0, 100, (60, 1, 1, 1))
    return (128 + rng.normal(0, 1, (60, 32, 32, 3)) * amplitude).clip(0, 255).astype("uint8")


def components(samples, scale, count):
    """Projections of centred samples, by the textbook."""
    scaled = (samples - samples.mean(axis=0)) * scale
    values, vectors = np.linalg.eigh(np.cov(scaled.T))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    return scaled @ vectors / values**0.5 * (values / values[0]) ** 0.25


def test_agrees_with_principal_components(pixels):
    features = tiny_feature_maps()
    targets = GuideTargets(features.strides, features.channels, (4, 4), grid_dim=5, pooled_dim=6)
    maps = features(pixels)
    targets.fit([[each[:40] for each in maps], [each[40:] for each in maps]])
    grid, pooled = (ops.convert_to_numpy(x) for x in targets(maps))
    assert grid.shape == (60, 16, 5) and pooled.shape == (60, 6)

    side = side_by_side(map(ops.convert_to_numpy, maps), 4, 4)
    spread, start, scale = side.reshape(-1, 28).var(axis=0), 0, []
    for channels in features.channels:
        scale += [spread[start : start + channels].sum() ** -0.5] * channels
        start += channels
    means = np.concatenate([ops.convert_to_numpy(each).mean(axis=(1, 2)) for each in maps], axis=1)
    for found, expected in (
        (grid.reshape(-1, 5), components(side.reshape(-1, 28), np.array(scale), 5)),
        (pooled, components(means, 1 / np.maximum(means.std(axis=0), 1e-4), 6)),
    ):
        sign = np.sign((found * expected).sum(axis=0))
        np.testing.assert_allclose(found * sign, expected, atol=0.03)
        assert abs(found[:, 0].std() - 1) < 0.03 and found[:, 1].std() < found[:, 0].std()


def test_every_column_of_the_grid_is_sampled():
    """Of 14 columns one in 7 cells is in two of them: what is at the border would be taken for the whole."""
    maps = np.random.default_rng(0).normal(0, 1, (20, 14, 14, 3)).astype("float32")
    maps[:, :, 0] += 10
    targets = GuideTargets((2,), (3,), (14, 14))
    targets.fit([[maps]])
    grid, _ = targets([maps])
    assert abs(ops.convert_to_numpy(ops.mean(grid))) < 0.05


def test_of_few_cells_all_are_sampled():
    maps = np.random.default_rng(0).normal(0, 1, (20, 2, 2, 3)).astype("float32")
    maps[:, 0, 0] += 10
    targets = GuideTargets((16,), (3,), (2, 2))
    targets.fit([[maps]])
    np.testing.assert_allclose(ops.convert_to_numpy(targets([maps])[0]).mean(axis=(0, 1)), 0, atol=1e-4)


def test_what_the_samples_do_not_vary_in_is_no_target(rng):
    """Few images again and again, of more channels than there are images, one of them silent in all."""
    maps = np.tile(rng.normal(0, 1, (8, 6, 6, 40)), (6, 1, 1, 1)).astype("float32")
    maps[..., 0] = 0
    targets = GuideTargets((8,), (40,), (6, 6))
    targets.fit([[maps]])
    unseen = rng.normal(0, 1, (50, 6, 6, 40)).astype("float32")
    seen, new = (ops.convert_to_numpy(targets([each])[1]) for each in (maps, unseen))
    assert 0.5 < seen.var(axis=0).max() < 1.1 and new.var(axis=0).max() < 30
    grid = ops.convert_to_numpy(targets([unseen])[0])
    assert np.abs(grid).max() < 20


def test_only_the_last_map_of_a_stage_counts_in_the_grid():
    targets = GuideTargets((2, 4, 4, 4, 8), (16, 24, 24, 40, 40), (4, 4))
    assert targets.stage_ends == [0, 2, 3, 4]
    assert targets.grid_dim == 16 + 24 + 40 + 40 and targets.pooled_dim == 144


def test_each_block_of_a_transformer_counts_in_the_grid():
    targets = GuideTargets((8,) * 4, (6,) * 4, (4, 4))
    assert targets.stage_ends == [0, 1, 2, 3] and targets.grid_dim == targets.pooled_dim == 24
