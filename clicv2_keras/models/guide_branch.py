from typing import TYPE_CHECKING

import keras
from keras import ops

from clicv2_keras.layers import GuideTargets, MeasureTargets, PatchReadOut
from clicv2_keras.layers.replicas import all_gather
from clicv2_keras.layers.set_trainable import set_trainable

if TYPE_CHECKING:
    from clicv2_keras.models.feature_maps import FeatureMaps

# Where a difference begins to count by its size and no longer by its square, in the target's first deviation.
BEND = 0.5


@keras.saving.register_keras_serializable(package="clicv2_keras")
class GuideBranch(keras.layers.Layer):
    """A third branch beside the two of CLICv2: learn what a teacher knows of an image.

    The teacher is a frozen pretrained network; or, with `MeasureTargets`, nobody: what was counted in the pixels comes
    with the images, a pooled target alone.

    Not of the paper. The encoder reads the whole unshifted image, as it does when it scores. A linear layer reads the
    teacher's grid target off each token, another its pooled target off the tokens' mean and mean absolute deviation
    (see `GuideTargets`); the loss is the smooth L1 of both, in units of their deviation.

    Args:
        teacher: a `FeatureMaps`, never trained; None where targets come with the images. It is not saved with the
            model: whoever wants to train on gives it again.
        targets: a `GuideTargets` that is fitted already, or `MeasureTargets`. None: those of the teacher's maps, to be
            fitted by `fit`.
        weight: γ, of this loss beside the others.
        grid_weight, pooled_weight: of its two parts.
        grid_dim, pooled_dim: see `GuideTargets`.

    Raises:
        ValueError: without a teacher and without targets; by `build_for`, where the targets are of another grid than
            the encoder's; by `call`, where neither a teacher nor the batch says what is to be learnt.
    """

    def __init__(
        self,
        teacher: "FeatureMaps | None" = None,
        targets: GuideTargets | MeasureTargets | None = None,
        weight: float = 1.0,
        grid_weight: float = 1.0,
        pooled_weight: float = 1.0,
        grid_dim: int = 160,
        pooled_dim: int = 384,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(targets, dict):
            targets = keras.saving.deserialize_keras_object(targets)
        if teacher is None and targets is None:
            raise ValueError("A guide needs a teacher, a FeatureMaps, or the fitted GuideTargets of one.")
        self.weight = weight
        self.grid_weight = grid_weight
        self.pooled_weight = pooled_weight
        self.grid_dim = grid_dim
        self.pooled_dim = pooled_dim
        self.targets = targets
        self.teach(teacher)

    def teach(self, teacher):
        """Take `teacher`, a `FeatureMaps` or None."""
        if teacher is not None:
            set_trainable(teacher, False)
        # Keras saves no attribute that begins so: a teacher is large, somebody else's, and never changes.
        setattr(self, "__teacher", teacher)

    @property
    def teacher(self):
        return getattr(self, "__teacher")

    @property
    def has_grid(self):
        """Whether there is a target a patch, and not of the whole image alone."""
        return not isinstance(self.targets, MeasureTargets)

    @property
    def metric_names(self):
        return ["guide_loss", *(["guide_grid"] if self.has_grid else []), "guide_pooled"]

    def known(self, batch):
        """What a batch, a dict, brings along of its images' targets; None where the teacher must be asked.

        It may be the targets themselves, `guide_grid` (B, N, G) and `guide_pooled` (B, P), or `guide_measures` (B, M).
        """
        if "guide_measures" in batch:
            return None, self.targets(batch["guide_measures"])
        return (batch["guide_grid"], batch["guide_pooled"]) if "guide_grid" in batch else None

    def build_for(self, encoder):
        """Make the parts that fit `encoder`."""
        if self.targets is None:
            teacher = self.teacher
            dims = {"grid_dim": self.grid_dim, "pooled_dim": self.pooled_dim}
            self.targets = GuideTargets(teacher.strides, teacher.channels, encoder.grid, **dims)
        if self.has_grid and self.targets.grid != encoder.grid:
            raise ValueError(f"The guide's targets are of {self.targets.grid} patches, the encoder's {encoder.grid}.")
        self.read_out = PatchReadOut(("token", "deviation"))
        if self.has_grid:
            self.grid_head = keras.layers.Dense(self.targets.grid_dim, dtype=self.dtype_policy)
            self.grid_head.build((None, None, encoder.output_dim))
        self.pooled_head = keras.layers.Dense(self.targets.pooled_dim, dtype=self.dtype_policy)
        self.pooled_head.build((None, self.read_out.count(encoder.output_dim)))
        self.built = True

    def fit(self, images, batch_size=32):
        """Fit the targets to what the teacher sees in uint8 images (n, S, S, 3), some thousand of them."""
        starts = range(0, len(images), batch_size)
        self.targets.fit(self.teacher(images[start : start + batch_size]) for start in starts)

    def call(self, images, encoder=None, known=None):
        """Guide the encoder on images (B, S, S, 3).

        Args:
            known: the targets of these images, float (B, N, G) and (B, P), instead of asking the teacher.

        Returns:
            dict of scalars: `guide_loss`, not yet weighted; `guide_grid` and `guide_pooled`, the shares of the targets'
            variance that are explained, at most 1; and `embedding` (B, D), the mean token.
        """
        if known is None and self.teacher is None:
            raise ValueError("A guide without a teacher learns from batches that bring its targets along.")
        known = self.targets(self.teacher(images)) if known is None else known
        tokens = encoder(images)
        parts, loss = {"embedding": ops.mean(tokens, axis=1)}, 0.0
        weights = {"guide_grid": self.grid_weight, "guide_pooled": self.pooled_weight}
        for (name, weight), predicted, target in zip(weights.items(), self.predict(tokens), known, strict=True):
            if target is None:
                continue
            target = ops.stop_gradient(ops.cast(target, "float32"))
            loss = loss + weight * ops.mean(_smooth_l1(target - predicted))
            parts[name] = _explained(target - predicted, target)
        return parts | {"guide_loss": loss}

    def predict(self, tokens):
        """The targets as read off tokens (B, N, D): float32 (B, N, G), None without a grid, and (B, P)."""
        summary = ops.mean(self.read_out(tokens), axis=1)
        grid = ops.cast(self.grid_head(tokens), "float32") if self.has_grid else None
        return grid, ops.cast(self.pooled_head(summary), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "targets": keras.saving.serialize_keras_object(self.targets),
            "weight": self.weight,
            "grid_weight": self.grid_weight,
            "pooled_weight": self.pooled_weight,
            "grid_dim": self.grid_dim,
            "pooled_dim": self.pooled_dim,
        }


def _smooth_l1(error):
    """e² / BEND near 0, 2 |e| - BEND beyond: continuous with its slope, and of slope 2 at most."""
    size = ops.abs(error)
    return ops.where(size < BEND, ops.square(error) / BEND, 2 * size - BEND)


def _explained(error, target):
    """The share of the targets' variance about 0, their mean over the images that they were fitted to."""
    errors, targets = (ops.mean(all_gather(ops.mean(ops.square(each))[None])[0]) for each in (error, target))
    return 1.0 - errors / ops.maximum(targets, 1e-12)
