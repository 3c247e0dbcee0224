import itertools
import math

import keras
import numpy as np
from keras import ops

from clicv2_keras.layers.feature_stem import on_grid
from clicv2_keras.recipe.shapes import stage_ends, target_widths

# One in so many cells of each image's grid, or a few more, is what the projection is fitted to: neighbours say much the
# same.
EVERY = 7


@keras.saving.register_keras_serializable(package="clicv2_keras")
class GuideTargets(keras.layers.Layer):
    """A teacher's feature maps as what a student is to learn: a vector a patch, and one of the whole image.

    The grid target is made of the last map of each stage (a run of maps of one size and number of channels; where all
    are of one kind, as a transformer's blocks, each map is a stage), brought to the patches' grid, each scaled to a
    total variance of 1; the pooled target of every map's means, standardised. Both are projected to their first
    principal components. A component of eigenvalue λ gets the deviation (λ / λ₁)^¼: not fully whitened, or noise would
    count as much as what the teacher sees; and not normalised by length, since magnitude is what complexity lives on.

    Args:
        strides, channels: of the teacher's maps; see `FeatureMaps`.
        grid: rows and columns of patches.
        grid_dim, pooled_dim: components that are kept, at most.

    Call arguments:
        maps: list of float (B, h, w, C).

    Returns:
        float32 (B, rows · columns, grid_dim) and (B, pooled_dim), of mean 0.
    """

    def __init__(self, strides, channels, grid, grid_dim=160, pooled_dim=384, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(trainable=False, **kwargs)
        self.strides, self.channels, self.grid = tuple(strides), tuple(channels), tuple(grid)
        self.stage_ends = stage_ends(self.strides, self.channels)
        self.grid_channels = sum(self.channels[i] for i in self.stage_ends)
        self.grid_dim, self.pooled_dim = target_widths(self.strides, self.channels, grid_dim, pooled_dim)
        self.grid_projection = self._projection("grid", self.grid_channels, self.grid_dim)
        self.pooled_projection = self._projection("pooled", sum(self.channels), self.pooled_dim)
        self.built = True

    def _projection(self, name, inputs, outputs):
        return {
            "center": self.add_weight(shape=(inputs,), initializer="zeros", name=f"{name}_center"),
            "kernel": self.add_weight(shape=(inputs, outputs), initializer="zeros", name=f"{name}_kernel"),
        }

    def call(self, maps):
        return _project(self._grid(maps), self.grid_projection), _project(self._pooled(maps), self.pooled_projection)

    def _grid(self, maps):
        maps = [on_grid(ops.cast(maps[i], "float32"), self.grid) for i in self.stage_ends]
        return ops.reshape(ops.concatenate(maps, axis=-1), (-1, self.grid[0] * self.grid[1], self.grid_channels))

    @staticmethod
    def _pooled(maps):
        return ops.concatenate([ops.mean(ops.cast(each, "float32"), axis=(1, 2)) for each in maps], axis=-1)

    def fit(self, batches):
        """Find the projections, from an iterable of lists of maps, of some thousand images in all."""
        grids, pools = [], []
        # With a factor in common it would miss columns of the grid; of a small one all cells are taken.
        first = EVERY if math.prod(self.grid) >= 4 * EVERY else 1
        every = next(count for count in itertools.count(first) if math.gcd(count, self.grid[1]) == 1)
        for maps in batches:
            grids.append(ops.convert_to_numpy(self._grid(maps))[:, ::every].reshape(-1, self.grid_channels))
            pools.append(ops.convert_to_numpy(self._pooled(maps)))
        grids, pools = np.concatenate(grids), np.concatenate(pools)
        variance, scale, start = grids.var(axis=0), [], 0
        for i in self.stage_ends:
            total = variance[start : start + self.channels[i]].sum()
            scale.append(np.full(self.channels[i], 1 / np.sqrt(max(total, 1e-6))))
            start += self.channels[i]
        _fit(self.grid_projection, grids, np.concatenate(scale).astype("float32"), self.grid_dim)
        _fit(self.pooled_projection, pools, 1 / np.maximum(pools.std(axis=0), 1e-4), self.pooled_dim)

    def get_config(self):
        config = {
            **super().get_config(),
            "strides": self.strides,
            "channels": self.channels,
            "grid": self.grid,
            "grid_dim": self.grid_dim,
            "pooled_dim": self.pooled_dim,
        }
        return {key: value for key, value in config.items() if key != "trainable"}


def _project(features, projection):
    return ops.matmul(features - projection["center"], projection["kernel"])


def _fit(projection, samples, scale, count):
    """The first `count` principal components of the scaled samples (n, C)."""
    # On demand: of what trains, only this needs it.
    from sklearn.decomposition import PCA

    center = samples.mean(axis=0, dtype="float64").astype("float32")
    kernel = np.zeros((len(center), count), "float32")
    # By far the fastest of its solvers for many samples, and without a draw.
    found = PCA(min(count, len(samples) - 1), svd_solver="covariance_eigh").fit((samples - center) * scale)
    values = np.maximum(found.explained_variance_, 1e-12)
    # Where the samples have nothing but rounding, images that are not among them would be blown up.
    gain = np.where(values > 1e-6 * values[0], values**-0.5 * (values / values[0]) ** 0.25, 0)
    kernel[:, : len(values)] = scale[:, None] * found.components_.T * gain
    projection["center"].assign(center)
    projection["kernel"].assign(kernel)
