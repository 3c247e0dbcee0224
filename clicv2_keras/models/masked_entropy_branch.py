import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from clicv2_keras.layers import EntropyDecoder, EntropyMasking, patchify
from clicv2_keras.layers.replicas import all_gather
from clicv2_keras.losses import MaskedEntropyLoss
from clicv2_keras.recipe.shapes import mask_ratios

TARGETS = ("patch", "image", "both")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class MaskedEntropyBranch(keras.layers.Layer):
    """The other half of CLICv2: recover the entropy of hidden patches from the visible ones.

    Args:
        weight: λ, of this loss beside the contrastive one.
        bins, statistics: what is recovered, see `PatchStatistics`; the entropy of `bins` alone is the paper's reading,
            and several are an extension of ours.
        target: `"patch"`: that of each masked patch; `"image"`: the image's mean, from the pooled visible tokens;
            `"both"`: the sum of the two losses.
        mask_ratio: see `EntropyMasking`; of several each has its part of the batch, image i the one of number i modulo
            their count. One may be 0, so that the encoder sees whole images as well, as it does when it scores.
        visible: also read what the visible patches have off their own tokens, by a linear layer: another loss, added.
        decoder_depth, decoder_width: see `EntropyDecoder`.
        seed: int, for the masks.
    """

    def __init__(
        self,
        weight: float = 1.0,
        bins: int = 256,
        target: str = "patch",
        mask_ratio: float | Sequence[float] = 0.75,
        decoder_depth: int = 2,
        decoder_width: int = 192,
        statistics: Sequence[str] = ("entropy",),
        visible: bool = False,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}.")
        self.weight = weight
        self.bins = bins
        self.target = target
        self.mask_ratio = mask_ratio
        self.decoder_depth = decoder_depth
        self.decoder_width = decoder_width
        self.statistics = tuple(statistics)
        self.visible = visible
        self.seed = seed
        self.mask_ratios = mask_ratios(mask_ratio)
        if not (any(self.mask_ratios) or visible or target == "image"):
            raise ValueError("A mask_ratio of 0 hides nothing, so that nothing is left to predict: take visible=True.")

    @property
    def predicts_patches(self):
        """Whether it learns what hidden patches have, and not only what images or visible patches do."""
        return self.target != "image" and any(self.mask_ratios)

    def build_for(self, encoder):
        """Make the parts that fit `encoder`.

        Raises:
            ValueError: where it has one patch, of which none can be hidden.
        """
        if math.prod(encoder.grid) < 2 and any(self.mask_ratios):
            raise ValueError("masked entropy modelling needs two patches or more; the encoder has one.")
        count = len(self.statistics)
        self.masking = EntropyMasking(encoder.patch_size, self.mask_ratio, self.bins, self.statistics, self.seed)
        if self.predicts_patches:
            settings = {"outputs": count, "dtype": self.dtype_policy}
            self.decoder = EntropyDecoder(encoder.grid, self.decoder_depth, self.decoder_width, **settings)
            self.decoder.build((None, None, encoder.output_dim))
            self.patch_loss = MaskedEntropyLoss(statistics=count)
            self.patch_loss.build()
        if self.target != "patch":
            self.image_head = keras.layers.Dense(count, dtype="float32")
            self.image_head.build((None, encoder.output_dim))
            self.image_loss = MaskedEntropyLoss(statistics=count)
            self.image_loss.build()
        if self.visible:
            self.visible_head = keras.layers.Dense(count, dtype="float32")
            self.visible_head.build((None, None, encoder.output_dim))
            self.visible_loss = MaskedEntropyLoss(statistics=count)
            self.visible_loss.build()
        self.built = True

    def call(self, images, encoder=None, training=False):
        """Mask uint8 images (B, S, S, 3), encode what is left and predict.

        Returns:
            dict of the scalar `entropy_loss`, not yet weighted, and `embedding` (B, D), the mean visible token.
        """
        parts, ratios = len(self.mask_ratios), self.mask_ratios
        if images.shape[0] is not None:
            # A last batch may have fewer images.
            ratios = ratios[: images.shape[0]]
        shown = [self._show(images[i::parts], ratio, encoder) for i, ratio in enumerate(ratios)]
        pooled = [ops.mean(visible, axis=1) for _, visible in shown]
        loss = 0.0
        if self.predicts_patches:
            found = [
                (self.decoder(visible, masks["keep"], masks["masked"]), masks["targets"])
                for masks, visible in shown
                if masks["masked"].shape[1]
            ]
            if found:
                loss = loss + self._loss(self.patch_loss, found, training)
        if self.target != "patch":
            entropy = [self._of_image(masks["entropy"]) for masks, _ in shown]
            found = [(self.image_head(mean), known) for mean, known in zip(pooled, entropy, strict=True)]
            loss = loss + self._loss(self.image_loss, found, training)
        if self.visible:
            loss = loss + self._loss(self.visible_loss, [self._read_visible(*each) for each in shown], training)
        return {"entropy_loss": loss, "embedding": ops.concatenate(pooled) if len(pooled) > 1 else pooled[0]}

    def _show(self, images, ratio, encoder):
        """What `EntropyMasking` gives of some of the images, and the tokens (B, K, D) of their visible patches."""
        masks = self.masking(images, **({"mask_ratio": ratio} if len(self.mask_ratios) > 1 else {}))
        return masks, encoder.encode(patchify(images, encoder.patch_size), keep=masks["keep"] if ratio else None)

    def _read_visible(self, masks, tokens):
        """What a linear layer reads off the visible patches' tokens, and what there is: (B, K) or (B, K, S)."""
        keep, found = masks["keep"], self.visible_head(tokens)
        if len(self.statistics) == 1:
            return found[..., 0], ops.take_along_axis(masks["entropy"], keep, axis=1)
        return found, ops.take_along_axis(masks["entropy"], keep[..., None], axis=1)

    def _of_image(self, entropy):
        """The mean over the patches, (B, 1) or (B, S)."""
        return ops.mean(entropy, axis=1, keepdims=len(self.statistics) == 1)

    def _loss(self, loss, found, training):
        """The mean over parts of the batch, pairs of predictions and targets, each of its own shape."""
        targets = found[0][1]
        if len(found) > 1:
            each = (len(self.statistics),) if len(self.statistics) > 1 else ()
            targets = ops.concatenate([ops.reshape(known, (-1, *each)) for _, known in found])
        # Mean and deviation are those of all parts, and of all replicas.
        population = all_gather(targets)[0]
        losses = [
            loss(predicted, known, training=training and not i, population=population)
            for i, (predicted, known) in enumerate(found)
        ]
        if targets.shape[0] is not None:
            return sum(losses) / len(losses)
        # TensorFlow need not know how many images there are: of a part without any the loss is no number.
        there = [ops.shape(known)[0] > 0 for _, known in found]
        losses = [ops.where(some, each, 0.0) for some, each in zip(there, losses, strict=True)]
        return sum(losses) / ops.maximum(sum(ops.cast(some, "float32") for some in there), 1.0)

    def patch_scores(self, images, tokens, encoder):
        """The entropy that each patch's surroundings let expect: float32 (B, N) in [0, 1], without any randomness.

        Of several statistics it is the first.

        The tokens of the whole image are not needed: they have seen what is to be predicted.

        Four passes, each seeing every second patch of every second row, together see every patch once; a patch's
        value is the mean of the three passes that do not see it.

        Raises:
            ValueError: where the branch predicts no hidden patches (see `predicts_patches`).
        """
        if not self.predicts_patches:
            raise ValueError("A branch that was not trained on hidden patches has no prediction for them.")
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
            predicted = self.predict(visible, keep_rows, masked_rows)
            # Scatter by a constant matrix: every converter knows a matrix product.
            total = total + ops.matmul(predicted, np.eye(rows * columns, dtype="float32")[masked])
        return total / (min(rows, 2) * min(columns, 2) - 1)

    def predict(self, visible, keep, masked):
        """What the decoder makes of hidden patches, as `EntropyDecoder` takes them: float32 (B, M) in [0, 1].

        Of several statistics it is the first.
        """
        predicted = self.patch_loss.restore(self.decoder(visible, keep, masked))
        return predicted if len(self.statistics) == 1 else predicted[..., 0]

    def get_config(self):
        return {
            **super().get_config(),
            "weight": self.weight,
            "bins": self.bins,
            "target": self.target,
            "mask_ratio": self.mask_ratio,
            "decoder_depth": self.decoder_depth,
            "decoder_width": self.decoder_width,
            "statistics": self.statistics,
            "visible": self.visible,
            "seed": self.seed,
        }
