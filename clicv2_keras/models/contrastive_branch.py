import keras
from keras import ops

from clicv2_keras.layers import PatchEntropy, ProjectionHead, ShiftedPatchify
from clicv2_keras.layers.replicas import all_gather
from clicv2_keras.layers.seeded_layer import SeededLayer
from clicv2_keras.losses import PatchContrastiveLoss
from clicv2_keras.recipe.shapes import projector_hidden

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
        global_weight: of the same loss on the images' mean tokens, beside that on patches: it brings back content,
            and with it accuracy, at a cost in complexity. Our answer to the loss of accuracy that the paper reports.
        bins: of the entropy that weighs negatives; see `PatchEntropy`. It is that of the patches as the tokens read
            them: jittered and shifted.
        seed: int, for shifts and positions.
    """

    def __init__(
        self,
        level="patch",
        negatives="same_position",
        tokens=16,
        temperature=0.2,
        projector_hidden=None,
        projection_dim=256,
        statistics="all",
        shift_mode="patch",
        max_shift=None,
        momentum=0.99,
        global_weight=0.0,
        bins=256,
        seed=None,
        **kwargs,
    ):
        super().__init__(seed, **kwargs)
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}.")
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
        self.bins = bins
        self.loss = PatchContrastiveLoss(temperature, negatives)

    def build_for(self, encoder):
        """Make the heads and the teacher that fit `encoder`; the teacher starts as its copy."""
        count = encoder.grid[0] * encoder.grid[1]
        if self.level == "patch" and not 1 <= self.tokens <= count:
            raise ValueError(f"tokens must be 1 to the {count} patches of an image, got {self.tokens}.")
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
        # Values, not variables: `a.assign(b)` may alias one buffer, which JAX then donates twice.
        self.teacher_encoder.set_weights(encoder.get_weights())
        self.teacher_projector.set_weights(self.projector.get_weights())
        self.teacher_encoder.trainable = False
        self.teacher_projector.trainable = False
        self.built = True

    def call(self, view_a, view_b, encoder=None):
        """Contrast two uint8 views (B, S, S, 3).

        Returns:
            dict of scalars `contrastive_loss`, both directions summed (chance: 4 T ln B), and `retrieval`, the share
            of tokens that find their own image first; and `embedding` (2 B, D), the mean of the student's tokens, of
            the contrasted ones where no other is computed to its end.
        """
        # Both views in one batch: half as many kernels, twice as large.
        patches = ops.concatenate([self.shift(view_a, training=True), self.shift(view_b, training=True)], axis=0)
        positions = self._draw_positions(patches.shape[1])
        pooled = self.level == "image" or self.global_weight
        # Tokens that nobody reads are not computed to their end.
        read = None if pooled else positions
        student, teacher = encoder.encode(patches, read=read), self.teacher_encoder.encode(patches, read=read)
        entropy = self.entropy.of_patches(patches) if self.negatives == "entropy_weighted" else None

        def drawn(values):
            return None if values is None else ops.take(values, positions, axis=1)

        if self.level == "image":
            loss, hits = self._contrast(_pool(student), _pool(teacher), _pool(entropy))
        else:
            tokens = (drawn(student), drawn(teacher)) if pooled else (student, teacher)
            loss, hits = self._contrast(*tokens, drawn(entropy))
            if self.global_weight:
                whole, _ = self._contrast(_pool(student), _pool(teacher), _pool(entropy))
                loss = loss + self.global_weight * whole
        return {"contrastive_loss": loss, "retrieval": hits, "embedding": ops.mean(student, axis=1)}

    def update_teacher(self, encoder, step, moved=True):
        """Move every teacher weight: momentum * teacher + (1 - momentum) * student; not where `moved` is False."""
        momentum = self.momentum(step) if callable(self.momentum) else self.momentum
        momentum = ops.where(moved, ops.cast(momentum, "float32"), 1.0)
        students = [*encoder.weights, *self.projector.weights]
        teachers = [*self.teacher_encoder.weights, *self.teacher_projector.weights]
        for teacher, student in zip(teachers, students, strict=True):
            teacher.assign(momentum * teacher + (1.0 - momentum) * student)

    def _contrast(self, student, teacher, entropy):
        """Both directions of the loss on tokens (2 B, n, D): their sum, and the mean share of hits.

        `entropy` is that of the tokens' patches, (2 B, n), or None.
        """
        queries = self.predictor(self.projector(student))
        keys = ops.stop_gradient(self.teacher_projector(teacher))
        query_a, query_b = ops.split(queries, 2, axis=0)
        key_a, key_b = ops.split(keys, 2, axis=0)
        entropy_a, entropy_b = (None, None) if entropy is None else ops.split(entropy, 2, axis=0)
        loss_a, hits_a = self._one_direction(query_a, key_b, entropy_a, entropy_b)
        loss_b, hits_b = self._one_direction(query_b, key_a, entropy_b, entropy_a)
        return loss_a + loss_b, (hits_a + hits_b) / 2

    def _one_direction(self, queries, keys, query_entropy, key_entropy):
        """Against the keys of all replicas."""
        keys, first = all_gather(keys)
        if key_entropy is not None:
            key_entropy, _ = all_gather(key_entropy)
        return self.loss(queries, keys, first=first, query_entropy=query_entropy, key_entropy=key_entropy)

    def _draw_positions(self, count):
        noise = keras.random.uniform((count,), dtype="float32", seed=self.seed_generator)
        return ops.argsort(noise)[: self.tokens]

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
            "bins": self.bins,
        }


def _pool(values):
    return None if values is None else ops.mean(values, axis=1, keepdims=True)
