from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import ops

from clicv2_keras.layers import OtherComplexity, PatchEntropy, ProjectionHead, ShiftedPatchify, activation_energy
from clicv2_keras.layers.copy_weights import copy_weights
from clicv2_keras.layers.layout import layout_retrieval, layout_thumbnails
from clicv2_keras.layers.replicas import all_gather
from clicv2_keras.layers.seeded_layer import SeededLayer
from clicv2_keras.layers.set_trainable import set_trainable
from clicv2_keras.losses import PatchContrastiveLoss
from clicv2_keras.recipe.shapes import projector_hidden, view_patches

if TYPE_CHECKING:
    from clicv2_keras.models.cosine_momentum import CosineMomentum

LEVELS = ("patch", "image")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ContrastiveBranch(SeededLayer):
    """The contrastive half of CLICv2: MoCo v3 (arXiv 2104.02057) on the tokens of two shifted views.

    The student is the encoder, a 3-layer projector and a 2-layer predictor; the teacher is an exponential moving
    average of encoder and projector. What the paper leaves open is a setting; the defaults are this project's choice.

    Args:
        level: `"patch"` contrasts tokens, `"image"` their mean, as the ablation and MoCo v3 do.
        negatives: see `PatchContrastiveLoss`.
        tokens: positions an image that are contrasted, drawn anew each step, the same across the batch.
        temperature: see `PatchContrastiveLoss`.
        projector_hidden: hidden width of both heads; by default 4096, and 1024 for encoders up to 192 wide.
        projection_dim: width of queries and keys.
        statistics: see `BatchStandardization`.
        shift_mode, max_shift: see `ShiftedPatchify`.
        momentum: of the teacher: a number in [0, 1] or a schedule such as `CosineMomentum`.
        keep_ratio: share of the patches that each view keeps, in (0, 1], another random part in each, but for the
            `tokens` that are contrasted, which both have: what is left out is not encoded, and the views no longer
            share their layout. One draw a step, the same across the batch.
        position_codes: tell the encoder where patches lie, in this branch's passes; see `ViTEncoder.encode`.
        copies: kinds of `OtherComplexity`. View a is encoded once more as such a copy: its keys join the candidates of
            view b, whose other keys of view a differ from them in complexity alone; and a linear read-out of the mean
            token shall tell which of image and copy is simpler.
        copies_weight: of that ranking loss beside the contrastive one.
        margin: by how much the read-out of the more complex one shall be above the other's.
        energy_weight: of what CLIC, the predecessor (arXiv 2411.12792), adds to an image-wise contrast: the squared
            difference between a view's `activation_energy` and its grey levels' entropy. It took .25.
        global_weight: of the same loss on the images' mean tokens, beside that on patches: meant to bring
            back content, which the paper reports lost; whether it does is not shown yet.
        bins: of the entropy that weighs negatives; see `PatchEntropy`. It is that of the patches as the tokens read
            them: jittered and shifted.
        seed: int, for shifts and positions.

    Raises:
        ValueError: where the level is neither, `keep_ratio` out of its range, or `negatives="same_image"` has no two
            tokens of an image; by `build_for`, where there are more `tokens` than patches that a view keeps.
    """

    def __init__(
        self,
        level: str = "patch",
        negatives: str = "same_position",
        tokens: int = 16,
        temperature: float = 0.2,
        projector_hidden: int | None = None,
        projection_dim: int = 256,
        statistics: str = "all",
        shift_mode: str = "patch",
        max_shift: int | None = None,
        momentum: "float | CosineMomentum" = 0.99,
        global_weight: float = 0.0,
        keep_ratio: float = 1.0,
        position_codes: bool = True,
        copies: Sequence[str] = (),
        copies_weight: float = 1.0,
        margin: float = 1.0,
        energy_weight: float = 0.0,
        bins: int = 256,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed, **kwargs)
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}.")
        if not 0 < keep_ratio <= 1:
            raise ValueError(f"keep_ratio must be above 0 and at most 1, got {keep_ratio}.")
        if negatives == "same_image" and (level == "image" or global_weight or tokens < 2):
            raise ValueError('negatives="same_image" contrasts the tokens of an image: it needs two or more, no means.')
        if isinstance(momentum, dict):
            momentum = keras.saving.deserialize_keras_object(momentum)
        self.level = level
        self.negatives = negatives
        self.tokens = tokens
        self.temperature = temperature
        self.projector_hidden = projector_hidden
        self.projection_dim = projection_dim
        self.statistics = statistics
        self.shift_mode = shift_mode
        self.max_shift = max_shift
        self.momentum = momentum
        self.global_weight = global_weight
        self.keep_ratio = keep_ratio
        self.position_codes = position_codes
        self.copies = tuple(copies)
        self.copies_weight = copies_weight
        self.margin = margin
        self.energy_weight = energy_weight
        self.bins = bins
        self.loss = PatchContrastiveLoss(temperature, negatives)

    def build_for(self, encoder):
        """Make the heads and the teacher that fit `encoder`; the teacher starts as its copy."""
        count = encoder.grid[0] * encoder.grid[1]
        self.kept = view_patches(count, self.keep_ratio)
        if self.level == "patch" and not 1 <= self.tokens <= self.kept:
            kept = "an image" if self.kept == count else "a view"
            raise ValueError(f"tokens must be 1 to the {self.kept} patches of {kept}, got {self.tokens}.")
        hidden = projector_hidden(encoder.width, self.projector_hidden)
        heads = {"hidden": hidden, "output": self.projection_dim, "statistics": self.statistics}
        heads["dtype"] = self.dtype_policy
        self.shift = ShiftedPatchify(encoder.patch_size, self.shift_mode, self.max_shift, seed=self.seed)
        self.entropy = PatchEntropy(encoder.patch_size, self.bins)
        self.projector = ProjectionHead(depth=3, **heads)
        self.projector.build((None, None, encoder.output_dim))
        self.predictor = ProjectionHead(depth=2, **heads)
        self.predictor.build((None, None, self.projection_dim))
        self.teacher_encoder = type(encoder).from_config({**encoder.get_config(), "name": "teacher_encoder"})
        self.teacher_projector = ProjectionHead(depth=3, **heads)
        self.teacher_projector.build((None, None, encoder.output_dim))
        self.begin_teacher(encoder)
        set_trainable(self.teacher_encoder, False)
        set_trainable(self.teacher_projector, False)
        if self.copies:
            self.other_complexity = OtherComplexity(self.copies, seed=self.seed)
            self.order = keras.layers.Dense(1, use_bias=False, dtype="float32")
            self.order.build((None, encoder.output_dim))
        if self.energy_weight:
            self.whole_entropy = PatchEntropy(encoder.image_size, self.bins)
        self.built = True

    def begin_teacher(self, encoder):
        """Make the teacher a copy of `encoder` and the projector; once more where what is not learnt has changed, as a
        stem's statistics do."""
        # Values, not variables: `a.assign(b)` may alias one buffer, which JAX then donates twice.
        copy_weights(encoder, self.teacher_encoder)
        copy_weights(self.projector, self.teacher_projector)

    def call(self, view_a, view_b, encoder=None):
        """Contrast two uint8 views (B, S, S, 3).

        Returns:
            dict of scalars `contrastive_loss`, both directions and what is added to them summed (chance of the two:
            4 T ln B), `retrieval`, the share of tokens that find their own image first, or with `same_image` their own
            place, and `layout_retrieval`, how often thumbnails of the views alone find their image; with copies
            `order`, the share of images that are told from their copy by which is simpler; and `embedding` (2 B, D),
            the mean of the student's tokens, of the contrasted ones where no other is computed to its end.
        """
        views, signs = [view_a, view_b], None
        if self.copies:
            copy, signs = self.other_complexity(view_a)
            views.append(copy)
        offsets = [None if self.shift.mode == "none" else self.shift.draw_for(view) for view in views[:2]]
        # All views in one batch: fewer kernels, larger ones. The copy is shifted as view a is.
        offsets = [*offsets, offsets[0]]
        shifted = [self.shift(view, offsets=moved) for view, moved in zip(views, offsets, strict=False)]
        patches = ops.concatenate(shifted, axis=0)
        batch = ops.shape(view_a)[0]
        keep, keeps, read = self._draw_patches(patches.shape[1], len(views), batch)
        pooled = self.level == "image" or self.global_weight
        # Tokens that nobody reads are not computed to their end.
        settings = {"keep": keep, "read": None if pooled else read, "positions": self.position_codes}
        student, teacher = encoder.encode(patches, **settings), self.teacher_encoder.encode(patches, **settings)
        entropy = None
        if self.negatives == "entropy_weighted":
            entropy = self.entropy.of_patches(patches)
            entropy = entropy if keep is None else ops.take_along_axis(entropy, keep, axis=1)

        def drawn(values):
            return None if values is None else ops.take(values, read, axis=1)

        if self.level == "image":
            loss, hits = self._contrast(_pool(student), _pool(teacher), _pool(entropy))
        else:
            tokens = (drawn(student), drawn(teacher)) if pooled else (student, teacher)
            loss, hits = self._contrast(*tokens, drawn(entropy))
            if self.global_weight:
                whole, _ = self._contrast(_pool(student), _pool(teacher), _pool(entropy))
                loss = loss + self.global_weight * whole
        thumbnails = [
            layout_thumbnails(view, encoder.grid, kept) for view, kept in zip(shifted[:2], keeps[:2], strict=True)
        ]
        parts = {"retrieval": hits, "layout_retrieval": layout_retrieval(*thumbnails)}
        embedding = ops.mean(student, axis=1)
        if self.copies:
            ranking, parts["order"] = self._rank(embedding, signs)
            loss = loss + self.copies_weight * ranking
            embedding, student = embedding[: 2 * batch], student[: 2 * batch]
        if self.energy_weight:
            known = ops.concatenate([self.whole_entropy(view)[:, 0] for view in (view_a, view_b)])
            loss = loss + self.energy_weight * ops.mean(ops.square(activation_energy(student) - known))
        return parts | {"contrastive_loss": loss, "embedding": embedding}

    def update_teacher(self, encoder, step, moved):
        """Move every teacher weight: momentum * teacher + (1 - momentum) * student; not where `moved` is False."""
        momentum = self.momentum(step) if callable(self.momentum) else self.momentum
        momentum = ops.where(moved, ops.cast(momentum, "float32"), 1.0)
        students = [*encoder.weights, *self.projector.weights]
        teachers = [*self.teacher_encoder.weights, *self.teacher_projector.weights]
        for teacher, student in zip(teachers, students, strict=True):
            teacher.assign(momentum * teacher + (1.0 - momentum) * student)

    def _contrast(self, student, teacher, entropy):
        """Both directions of the loss on tokens (V B, n, D) of views a and b and with copies of those: their sum, and
        the mean share of hits.

        `entropy` is that of the tokens' patches, (V B, n), or None.
        """
        views = 3 if self.copies else 2
        if self.copies:
            # Nobody asks for what the student predicts of copies.
            student = student[: ops.shape(student)[0] // 3 * 2]
        queries = self.predictor(self.projector(student))
        keys = ops.stop_gradient(self.teacher_projector(teacher))
        query_a, query_b = ops.split(queries, 2, axis=0)
        key_a, key_b, *copy = ops.split(keys, views, axis=0)
        entropy_a, entropy_b, *_ = (None, None) if entropy is None else ops.split(entropy, views, axis=0)
        loss_a, hits_a = self._one_direction(query_a, key_b, entropy_a, entropy_b)
        loss_b, hits_b = self._one_direction(query_b, key_a, entropy_b, entropy_a, *copy)
        return loss_a + loss_b, (hits_a + hits_b) / 2

    def _rank(self, embedding, signs):
        """Of the mean tokens (3 B, D) of both views and the copies: the ranking loss of view a and its copy, of which
        `signs` (B,) say whether it is simpler, and how often they are ranked so."""
        image, _, copy = ops.split(self.order(ops.cast(embedding, "float32"))[:, 0], 3)
        above = signs * (image - copy)
        return ops.mean(ops.relu(self.margin - above)), ops.mean(ops.cast(above > 0, "float32"))

    def _one_direction(self, queries, keys, query_entropy, key_entropy, copies=None):
        """Against the keys of all replicas."""
        keys, first = all_gather(keys)
        if key_entropy is not None:
            key_entropy, _ = all_gather(key_entropy)
        known = {"query_entropy": query_entropy, "key_entropy": key_entropy}
        return self.loss(queries, keys, first=first, **known, **({} if copies is None else {"copies": copies}))

    def _draw_patches(self, count, views, batch):
        """The patches that are seen and contrasted, of `count` an image.

        Returns:
            int (views · batch, K), the kept patches of each image, or None for all; a list of the kept ones, int (K,)
            or None, by view; and int (n,), the places among them of those that are contrasted.
        """
        positions = self._draw_positions(count)
        if self.kept == count:
            return None, [None] * views, positions[: self.tokens]
        common = self.tokens if self.level == "patch" else 0
        rest = self.kept - common
        # What is not contrasted differs as far as there are patches enough.
        first, second = positions[: self.kept], ops.concatenate([positions[:common], positions[count - rest :]])
        # A copy shows what view a does.
        keeps = [first, second, first][:views]
        each = [ops.broadcast_to(keep[None], (batch, self.kept)) for keep in keeps]
        return ops.concatenate(each), keeps, ops.arange(common, dtype="int32")

    def _draw_positions(self, count):
        """All positions in random order, the same in every replica."""
        noise = keras.random.uniform((count,), dtype="float32", seed=self.seed_generator)
        return ops.cast(ops.argsort(noise), "int32")

    def get_config(self):
        momentum = self.momentum
        if callable(momentum):
            momentum = keras.saving.serialize_keras_object(momentum)
        return {
            **super().get_config(),
            "level": self.level,
            "negatives": self.negatives,
            "tokens": self.tokens,
            "temperature": self.temperature,
            "projector_hidden": self.projector_hidden,
            "projection_dim": self.projection_dim,
            "statistics": self.statistics,
            "shift_mode": self.shift_mode,
            "max_shift": self.max_shift,
            "momentum": momentum,
            "global_weight": self.global_weight,
            "keep_ratio": self.keep_ratio,
            "position_codes": self.position_codes,
            "copies": self.copies,
            "copies_weight": self.copies_weight,
            "margin": self.margin,
            "energy_weight": self.energy_weight,
            "bins": self.bins,
        }


def _pool(values):
    return None if values is None else ops.mean(values, axis=1, keepdims=True)
