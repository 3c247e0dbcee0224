import keras
from keras import ops

from clicv2_keras.layers.patch_entropy import PatchEntropy
from clicv2_keras.layers.replicas import draw_local
from clicv2_keras.layers.seeded_layer import SeededLayer
from clicv2_keras.recipe.shapes import kept_patches


@keras.saving.register_keras_serializable(package="clicv2_keras")
class EntropyMasking(SeededLayer):
    """Choose the patches to hide and name the entropies to recover: the task of masked entropy modelling.

    Masked patches are dropped, as in MAE (arXiv 2111.06377), not replaced: the encoder computes the kept ones alone.

    Args:
        patch_size: side of a patch in pixels.
        mask_ratio: share of the patches that is hidden, above 0 and below 1; see `kept_patches`.
        bins: see `PatchEntropy`.
        seed: int, for the draws.

    Call arguments:
        images: uint8 (B, H, W, 3).
        noise: optional float (B, N): the patches of least noise are kept, in place of a random choice.

    Returns:
        dict of `keep` (int32 (B, K)) and `masked` (int32 (B, M)), the indices of the patches in ascending order,
        `targets` (float32 (B, M)), the entropy of the masked patches in [0, 1], and `entropy` (float32 (B, N)), of all.
    """

    def __init__(self, patch_size, mask_ratio=0.75, bins=256, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        if not 0 < mask_ratio < 1:
            raise ValueError(f"mask_ratio must lie between 0 and 1, got {mask_ratio}.")
        self.patch_size = patch_size
        self.mask_ratio = mask_ratio
        self.bins = bins
        self.entropy = PatchEntropy(patch_size, bins)
        self.built = True  # it has no weights

    def call(self, images, noise=None):
        entropy = self.entropy(images)
        patches = entropy.shape[1]
        if noise is None:
            noise = draw_local(lambda rows: self._draw((rows, patches)), ops.shape(entropy)[0])
        kept = kept_patches(patches, self.mask_ratio)
        order = ops.cast(ops.argsort(noise, axis=1), "int32")
        masked = ops.sort(order[:, kept:], axis=1)
        return {
            "keep": ops.sort(order[:, :kept], axis=1),
            "masked": masked,
            "targets": ops.take_along_axis(entropy, masked, axis=1),
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
        }
