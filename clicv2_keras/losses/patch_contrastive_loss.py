import keras
from keras import ops

NEGATIVES = ("same_position", "all", "entropy_weighted", "same_image")


@keras.saving.register_keras_serializable(package="clicv2_keras")
class PatchContrastiveLoss(keras.layers.Layer):
    """InfoNCE between tokens of two views: one direction of the loss of MoCo v3 (arXiv 2104.02057), a patch at a time.

    With negatives from everywhere, position alone tells most of them apart, and tokens learn where they are in place
    of what they show. So by default a token is told only from the tokens at its own position in other images.

    Args:
        temperature: T > 0, divides the cosine similarities; the loss is scaled by 2 T, so chance is 2 T ln(candidates).
        negatives: `"same_position"`: the other images at that position (B' candidates); `"all"`: every other token of
            the batch (B' n candidates); `"entropy_weighted"`: as all, each negative weighted by how much the entropy
            of its patch differs, relative to the mean difference: patches of equal complexity do not repel;
            `"same_image"`: the other tokens of that image (n candidates), which share its colours and its content.

    Call arguments:
        queries: float (B, n, D), predictions of the student.
        keys: float (B', n, D) of the teacher; more images than `queries` when they come from all replicas.
        first: index in `keys` of the image of the first query.
        query_entropy, key_entropy: float (B, n) and (B', n), for `"entropy_weighted"` only.
        copies: optional float (B, n, D), keys of the queries' own patches at another complexity: a candidate more for
            each, of weight 1.

    Returns:
        The mean loss, and the share of queries to which no candidate but a copy is more similar than their own key,
        whatever its weight: two float32 scalars.

    Raises:
        ValueError: where `negatives` is none of these, or the temperature is not above 0.
    """

    def __init__(self, temperature=0.2, negatives="same_position", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if negatives not in NEGATIVES:
            raise ValueError(f"negatives must be one of {', '.join(NEGATIVES)}, got {negatives!r}.")
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        self.temperature = temperature
        self.negatives = negatives
        self.built = True  # it has no weights

    def call(self, queries, keys, first=0, query_entropy=None, key_entropy=None, copies=None):
        queries, keys = _unit(queries), _unit(keys)
        batch, tokens, width = ops.shape(queries)
        own = first + ops.arange(batch, dtype="int32")
        if self.negatives == "same_position":
            logits = ops.einsum("bnd,cnd->nbc", queries, keys) / self.temperature
            own = ops.broadcast_to(own, (tokens, batch))
        elif self.negatives == "same_image":
            logits = ops.einsum("bnd,bmd->bnm", queries, ops.take(keys, own, axis=0)) / self.temperature
            own = ops.broadcast_to(ops.arange(tokens, dtype="int32"), (batch, tokens))
        else:
            logits = ops.matmul(ops.reshape(queries, (-1, width)), ops.transpose(ops.reshape(keys, (-1, width))))
            logits = logits / self.temperature
            own = ops.reshape(own[:, None] * tokens + ops.arange(tokens, dtype="int32"), (-1,))
        # Before the weights: they hold down the negatives, and would find keys that the tokens do not.
        hits = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == own, "float32")
        if self.negatives == "entropy_weighted":
            logits = logits + self._log_weights(ops.reshape(query_entropy, (-1,)), ops.reshape(key_entropy, (-1,)), own)
        if copies is not None:
            alike = ops.sum(queries * _unit(copies), axis=-1) / self.temperature
            if self.negatives == "same_position":
                alike = ops.transpose(alike)
            elif self.negatives != "same_image":
                alike = ops.reshape(alike, (-1,))
            logits = ops.concatenate([logits, alike[..., None]], axis=-1)
        losses = keras.losses.sparse_categorical_crossentropy(own, logits, from_logits=True)
        return 2 * self.temperature * ops.mean(losses), ops.mean(hits)

    def _log_weights(self, query_entropy, key_entropy, own):
        """Logarithm of each candidate's weight: 1 for the query's own key, of mean 1 over the negatives."""
        difference = ops.abs(query_entropy[:, None] - key_entropy[None, :])
        candidates = ops.shape(key_entropy)[0]
        is_own = ops.one_hot(own, candidates)
        mean = ops.sum(difference * (1 - is_own), axis=1, keepdims=True) / ops.cast(candidates - 1, "float32")
        weight = ops.where(is_own > 0, 1.0, difference / ops.maximum(mean, 1e-6))
        return ops.log(ops.maximum(weight, 1e-6))

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature, "negatives": self.negatives}


def _unit(x):
    """Vectors of length 1. One that is 0, as of images all alike, stays so, and has a gradient on every backend."""
    return x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-6)
