from keras import ops

from clicv2_keras.recipe.shapes import leverage_steps


def leverage(tokens, regularization):
    """How far each token is from being told by the other tokens of its image: its statistical leverage.

    The diagonal of K (K + λ I)⁻¹ (arXiv 1411.0306, definition 1), of the Gram matrix K of the image's centred tokens:
    near 0 where others resemble it, near 1 where none does.

    Args:
        tokens: float32 (B, N, D) after a layer norm, so that their squared length is about D; up to 16 D.
        regularization: λ / D: what counts as resembling, above 0.

    Returns:
        float32 (B, N) in [0, 1].
    """
    count, width = tokens.shape[1:]
    strength = regularization * width
    centered = tokens - ops.mean(tokens, axis=1, keepdims=True)
    gram = ops.matmul(centered, ops.transpose(centered, (0, 2, 1)))
    # Newton and Schulz's iteration: matrix products alone, since TFLite has no inverse.
    eye = ops.eye(count, dtype="float32")
    trace = ops.sum(ops.square(centered), axis=(1, 2), keepdims=True) + strength
    regular = (gram + strength * eye) / trace
    inverse = ops.broadcast_to(eye, ops.shape(gram))
    for _ in range(leverage_steps(count, regularization)):
        inverse = ops.matmul(inverse, 2.0 * eye - ops.matmul(regular, inverse))
    return ops.clip(1.0 - strength * ops.sum(inverse * eye, axis=-1) / trace[..., 0], 0.0, 1.0)
