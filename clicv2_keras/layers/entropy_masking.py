import keras
from keras import ops

from clicv2_keras.layers.patch_statistics import PatchStatistics
from clicv2_keras.layers.replicas import draw_local
from clicv2_keras.layers.seeded_layer import SeededLayer
from clicv2_keras.recipe.shapes import kept_patches, mask_ratios


@keras.saving.register_keras_serializable(package="clicv2_keras")
class EntropyMasking(SeededLayer):
    """Choose the patches to hide and name what is to be recovered, their entropy: the task of masked entropy modelling.

    Masked patches are dropped, as in MAE (arXiv 2111.06377), not replaced: the encoder computes the kept ones alone.

    Args:
        patch_size: side of a patch in pixels.
        mask_ratio: share of the patches that is hidden, from 0 to below 1, see `kept_patches`; or several to choose
            from at each call.
        bins, statistics: see `PatchStatistics`.
        seed: int, for the draws.

    Call arguments:
        images: uint8 (B, H, W, 3).
        noise: optional float (B, N): the patches of least noise are kept, in place of a random choice.
        mask_ratio: one of several; the largest by default.

    Returns:
        dict of `keep` (int32 (B, K)) and `masked` (int32 (B, M)), the indices of the patches in ascending order,
        `targets` (float32 (B, M)), the entropy of the masked patches in [0, 1], and `entropy` (float32 (B, N)), of all.
        With several statistics these two are (B, M, S) and (B, N, S).

    Raises:
        ValueError: where a mask ratio is out of its range, or the images are no whole patches; see `PatchStatistics`.
    """

    def __init__(self, patch_size, mask_ratio=0.75, bins=256, statistics=("entropy",), seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.mask_ratios = mask_ratios(mask_ratio)
        if not self.mask_ratios or not all(0 <= ratio < 1 for ratio in self.mask_ratios):
            raise ValueError(f"mask_ratio must lie between 0 and 1, or be several that do, got {mask_ratio}.")
        self.patch_size = patch_size
        self.mask_ratio = mask_ratio
        self.bins = bins
        self.statistics = tuple(statistics)
        self.entropy = PatchStatistics(patch_size, self.statistics, bins)
        self.built = True  # it has no weights

    def call(self, images, noise=None, mask_ratio=None):
        entropy = self.entropy(images)
        if len(self.statistics) == 1:
            entropy = entropy[..., 0]
        patches = entropy.shape[1]
        if noise is None:
            noise = draw_local(lambda rows: self._draw((rows, patches)), ops.shape(entropy)[0])
        kept = kept_patches(patches, max(self.mask_ratios) if mask_ratio is None else mask_ratio)
        order = ops.cast(ops.argsort(noise, axis=1), "int32")
        masked = ops.sort(order[:, kept:], axis=1)
        return {
            "keep": ops.sort(order[:, :kept], axis=1),
            "masked": masked,
            "targets": ops.take_along_axis(entropy, masked[..., None] if len(entropy.shape) > 2 else masked, axis=1),
            "entropy": entropy,
        }

    def _draw(self, shape):
        return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "mask_ratio": self.mask_ratio,
            "bins": self.bins,
            "statistics": self.statistics,
        }
