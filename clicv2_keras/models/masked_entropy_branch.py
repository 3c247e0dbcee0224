import keras
import numpy as np
from keras import ops

from clicv2_keras.layers import EntropyDecoder, EntropyMasking, patchify
from clicv2_keras.layers.replicas import all_gather
from clicv2_keras.losses import MaskedEntropyLoss

TARGETS = ("patch", "image", "both")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class MaskedEntropyBranch(keras.layers.Layer):
    """The other half of CLICv2: recover the entropy of hidden patches from the visible ones.

    Args:
        weight: λ, of this loss beside the contrastive one.
        bins: see `PatchEntropy`.
        target: `"patch"`: the entropy of each masked patch; `"image"`: the mean entropy of the image, from the pooled
            visible tokens; `"both"`: the sum of the two losses.
        mask_ratio: see `EntropyMasking`.
        decoder_depth, decoder_width: see `EntropyDecoder`.
        seed: int, for the masks.
    """

    def __init__(
        self,
        weight=1.0,
        bins=256,
        target="patch",
        mask_ratio=0.75,
        decoder_depth=2,
        decoder_width=192,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}.")
        self.weight = weight
        self.bins = bins
        self.target = target
        self.mask_ratio = mask_ratio
        self.decoder_depth = decoder_depth
        self.decoder_width = decoder_width
        self.seed = seed

    def build_for(self, encoder):
        """Make the parts that fit `encoder`."""
        self.masking = EntropyMasking(encoder.patch_size, self.mask_ratio, self.bins, self.seed)
        if self.target != "image":
            self.decoder = EntropyDecoder(encoder.grid, self.decoder_depth, self.decoder_width, dtype=self.dtype_policy)
            self.decoder.build((None, None, encoder.output_dim))
            self.patch_loss = MaskedEntropyLoss()
            self.patch_loss.build()
        if self.target != "patch":
            self.image_head = keras.layers.Dense(1, dtype="float32")
            self.image_head.build((None, encoder.output_dim))
            self.image_loss = MaskedEntropyLoss()
            self.image_loss.build()
        self.built = True

    def call(self, images, encoder=None, training=False):
        """Mask uint8 images (B, S, S, 3), encode what is left and predict.

        Returns:
            dict of the scalar `entropy_loss`, not yet weighted, and `embedding` (B, D), the mean visible token.
        """
        masks = self.masking(images)
        visible = encoder.encode(patchify(images, encoder.patch_size), keep=masks["keep"])
        pooled = ops.mean(visible, axis=1)
        loss = 0.0
        if self.target != "image":
            predictions = self.decoder(visible, masks["keep"], masks["masked"])
            loss = loss + self._loss(self.patch_loss, predictions, masks["targets"], training)
        if self.target != "patch":
            entropy = ops.mean(masks["entropy"], axis=1, keepdims=True)
            loss = loss + self._loss(self.image_loss, self.image_head(pooled), entropy, training)
        return {"entropy_loss": loss, "embedding": pooled}

    @staticmethod
    def _loss(loss, predictions, targets, training):
        # The statistics are those of all replicas.
        return loss(predictions, targets, training=training, population=all_gather(targets)[0])

    def patch_scores(self, images, tokens, encoder):
        """The entropy that each patch's surroundings let expect: float32 (B, N) in [0, 1], without any randomness.

        The tokens of the whole image are not needed: they have seen what is to be predicted.

        Four passes, each seeing every second patch of every second row, together see every patch once; a patch's
        value is the mean of the three passes that do not see it.

        Raises:
            ValueError: where the branch predicts whole images only (`target="image"`).
        """
        if self.target == "image":
            raise ValueError('A branch trained with target="image" has no prediction for patches.')
        rows, columns = encoder.grid
        patches = patchify(images, encoder.patch_size)
        index = np.arange(rows * columns, dtype="int32").reshape(rows, columns)
        total = 0.0
        for top, left in np.ndindex(min(rows, 2), min(columns, 2)):
            keep = index[top::2, left::2].ravel()
            masked = np.setdiff1d(index, keep).astype("int32")
            batch = ops.shape(patches)[0]
            keep_rows = ops.broadcast_to(ops.convert_to_tensor(keep), (batch, len(keep)))
            masked_rows = ops.broadcast_to(ops.convert_to_tensor(masked), (batch, len(masked)))
            visible = encoder.encode(patches, keep=keep_rows)
            predicted = self.patch_loss.restore(self.decoder(visible, keep_rows, masked_rows))
            # Scatter by a constant matrix: every converter knows a matrix product.
            total = total + ops.matmul(predicted, np.eye(rows * columns, dtype="float32")[masked])
        return total / (min(rows, 2) * min(columns, 2) - 1)

    def get_config(self):
        return {
            **super().get_config(),
            "weight": self.weight,
            "bins": self.bins,
            "target": self.target,
            "mask_ratio": self.mask_ratio,
            "decoder_depth": self.decoder_depth,
            "decoder_width": self.decoder_width,
            "seed": self.seed,
        }
