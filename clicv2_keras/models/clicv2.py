import functools
from typing import TYPE_CHECKING, Literal, Self

import keras
from keras import ops

from clicv2_keras.layers import RandomViews
from clicv2_keras.layers.copy_weights import copy_weights
from clicv2_keras.layers.pixels import check_shape, check_uint8
from clicv2_keras.layers.replicas import all_gather, scale_loss
from clicv2_keras.models.composite import Composite
from clicv2_keras.models.contrastive_branch import ContrastiveBranch
from clicv2_keras.models.embedder import Embedder
from clicv2_keras.models.kept_weights_jax import KeptWeights
from clicv2_keras.models.masked_entropy_branch import MaskedEntropyBranch
from clicv2_keras.models.train_step import TeacherTrainer
from clicv2_keras.models.vit_encoder import ViTEncoder

if TYPE_CHECKING:
    from clicv2_keras.models.guide_branch import GuideBranch
    from clicv2_keras.models.label_branch import LabelBranch

VIEWS = ("image", "view_a", "view_b")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class CLICv2(KeptWeights, TeacherTrainer, Composite, keras.Model):
    """Learn image complexity without labels (arXiv 2503.06641): patch-wise contrast and masked entropy modelling.

    ```python
    model = CLICv2.from_preset("vit_tiny_patch16", image_size=96)
    model.compile(keras.optimizers.AdamW(5e-4))
    model.fit(images, batch_size=128, epochs=10)      # uint8 (n, H, W, 3)
    embeddings = model.predict(images[:, :96, :96])   # of 96 × 96 pixels: float32 (n, 192)
    ```

    The loss is made inside the model: compile with an optimizer alone. `fit` reports `loss`, `contrastive_loss`,
    `entropy_loss`, `retrieval` (the share of tokens that find their own image among the batch) and `layout_retrieval`
    (the same of grey thumbnails of the views: what can be found without learning anything), with copies `order`, the
    share of images that are told from their copy; with a guide `guide_loss` and the shares of its targets' variance
    that are explained, `guide_grid` and `guide_pooled`; with labels `label_loss` and `label_error` (mean square); and
    two signs of health: `embedding_std` (spread of the normalised embeddings times √D: near 1 is even, 0 is a
    collapse) and `effective_rank` (participation ratio of their covariance, between 1 and min(B, D)).

    Args:
        encoder: a `ViTEncoder`.
        contrast: a `ContrastiveBranch`, or None to leave it out. One that is built, of another `CLICv2`, stays as it
            is, as every part does.
        entropy: a `MaskedEntropyBranch`, or None.
        guide: a `GuideBranch`, a teacher that the paper does not know, or None.
        views: a `RandomViews` that crops, flips and jitters images given as arrays; None for images that are to be
            used as they are. Data that comes as views already is never augmented again.
        labels: a `LabelBranch`, for images with the complexity that people gave them, or None.

    Call arguments:
        inputs: uint8 images (B, H, W, 3), or a dict of uint8 (B, S, S, 3): `image`, and with a contrastive branch
            `view_a` and `view_b`; with what a guide knows of them (see `GuideBranch.known`) no teacher is asked. With a
            label branch `crops`, `score` and `group`, of other images or the same (see `LabelBranch`); these alone
            where there is no other branch. No floats, whatever the encoder's `value_range`: entropies are those of
            whole grey levels.

    Returns:
        dict of scalars: the loss, its parts and the signs of health. For embeddings use `predict`.

    Raises:
        ValueError: where all branches are None, or the images have another size or type.
    """

    PARTS = ("encoder", "contrast", "entropy", "guide", "views", "labels")

    def __init__(
        self,
        encoder: ViTEncoder,
        contrast: ContrastiveBranch | None = None,
        entropy: MaskedEntropyBranch | None = None,
        views: RandomViews | None = None,
        guide: "GuideBranch | None" = None,
        labels: "LabelBranch | None" = None,
        **kwargs,
    ) -> None:
        # Each part casts what it is given: labels stay as they are.
        super().__init__(autocast=False, **kwargs)
        if contrast is None and entropy is None and guide is None and labels is None:
            raise ValueError(
                "Nothing to learn: give a ContrastiveBranch, a MaskedEntropyBranch, a GuideBranch or a LabelBranch."
            )
        self.encoder = encoder
        self.contrast = contrast
        self.entropy = entropy
        self.guide = guide
        self.views = views
        self.labels = labels
        for branch in (contrast, entropy, guide, labels):
            if branch is not None and not branch.built:
                branch.build_for(encoder)
        names = ["embedding_std", "effective_rank"]
        if contrast is not None:
            names += ["contrastive_loss", "retrieval"]
        if entropy is not None:
            names += ["entropy_loss"]
        if guide is not None:
            names += guide.metric_names
        if labels is not None:
            names += ["label_loss", "label_error"]
        # Last, for the sake of checkpoints from before they were there.
        if contrast is not None:
            names += ["layout_retrieval", *(["order"] if contrast.copies else [])]
        self.part_metrics = [keras.metrics.Mean(name=name) for name in names]
        self.built = True

    @classmethod
    def from_preset(
        cls,
        name: str = "default",
        contrast: ContrastiveBranch | Literal["default"] | None = "default",
        entropy: MaskedEntropyBranch | Literal["default"] | None = "default",
        views: RandomViews | Literal["default"] | None = "default",
        seed: int | None = None,
        **overrides,
    ) -> Self:
        """The whole method around an encoder, trained or new; its other parts are new.

        Args:
            name: the encoder's preset, see `ViTEncoder.from_preset`.
            contrast, entropy, views: replace a part, or leave it out with None.
            seed: int, for the draws of the default parts.
            overrides: arguments of `ViTEncoder`, such as `image_size=96`.
        """
        encoder = ViTEncoder.from_preset(name, **overrides)
        tokens = min(16, encoder.grid[0] * encoder.grid[1])
        return cls(
            encoder,
            ContrastiveBranch(tokens=tokens, seed=seed) if contrast == "default" else contrast,
            MaskedEntropyBranch(seed=seed) if entropy == "default" else entropy,
            RandomViews(encoder.image_size, seed=seed) if views == "default" else views,
        )

    def build(self, input_shape=None):
        self.built = True

    def call(self, inputs, training=False):
        views = self._views(inputs)
        parts, loss = {}, 0.0
        if self.entropy is not None:
            parts |= self.entropy(views["image"], encoder=self.encoder, training=training)
            loss = loss + self.entropy.weight * parts["entropy_loss"]
        if self.guide is not None:
            parts |= self.guide(views["image"], encoder=self.encoder, known=self.guide.known(views))
            loss = loss + self.guide.weight * parts["guide_loss"]
        if self.contrast is not None:
            parts |= self.contrast(views["view_a"], views["view_b"], encoder=self.encoder)
            loss = loss + parts["contrastive_loss"]
        if self.labels is not None:
            labelled = [views[name] for name in ("crops", "score", "group")]
            # Where there are other images, the signs of health are theirs.
            parts = self.labels(*labelled, encoder=self.encoder) | parts
            loss = loss + self.labels.weight * parts["label_loss"]
        return parts | _spread(parts.pop("embedding")) | {"loss": loss}

    def _views(self, inputs):
        if isinstance(inputs, dict):
            views = inputs
        elif self.views is not None:
            views = self.views(inputs)
        else:
            views = dict.fromkeys(VIEWS, inputs)
        for view in (view for name, view in views.items() if name in VIEWS):
            check_shape(view, self.encoder.image_size)
            check_uint8(view)
        return views

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss that `call` made. `add_loss` would keep it in one list for all of TensorFlow's replicas."""
        return scale_loss(y_pred["loss"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for metric in self.part_metrics:
            metric.update_state(y_pred[metric.name])
        return self.get_metrics_result()

    def update_teacher(self):
        """Move the teacher, once an optimizer step: with gradient accumulation, only where the student moved."""
        if self.contrast is None:
            return
        # With float16 Keras wraps the optimizer in one that scales the loss.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        accumulated = optimizer.gradient_accumulation_steps
        # `iterations` counts optimizer steps, `_iterations` micro-batches.
        moved = ops.equal(optimizer._iterations % accumulated, 0) if accumulated else True
        self.contrast.update_teacher(self.encoder, optimizer.iterations, moved)

    def averaged_encoder(self) -> ViTEncoder | None:
        """A `ViTEncoder` with the teacher's weights, the moving average of the encoder's; None without a teacher.

        It is a copy: training goes on without it.
        """
        if self.contrast is None:
            return None
        average = type(self.encoder).from_config(self.encoder.get_config())
        copy_weights(self.contrast.teacher_encoder, average)
        average.fitted_to = self.encoder.fitted_to
        return average

    @functools.cached_property
    def embedder(self):
        """Images to embeddings, on the encoder's own weights."""
        # A cached property sets no tracked attribute, so that Keras does not save the encoder a second time.
        return Embedder(self.encoder)

    def predict(self, x, **kwargs):
        """Embeddings, float32 (n, D): the mean token of each image, never shifted or augmented.

        Takes what `keras.Model.predict` takes; images must have the encoder's size and be of a type that it takes.
        """
        return self.embedder.predict(x, **kwargs)


def _spread(embedding):
    """Signs of a collapse, of embeddings (B, D) and those of the other replicas."""
    embedding, _ = all_gather(ops.stop_gradient(ops.cast(embedding, "float32")))
    unit = ops.normalize(embedding, axis=-1)
    centered = unit - ops.mean(unit, axis=0, keepdims=True)
    gram = ops.matmul(centered, ops.transpose(centered))
    return {
        "embedding_std": ops.mean(ops.std(unit, axis=0)) * unit.shape[-1] ** 0.5,
        "effective_rank": ops.square(ops.trace(gram)) / ops.maximum(ops.sum(ops.square(gram)), 1e-12),
    }
