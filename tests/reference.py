"""Plain NumPy, written for reading: what the layers and losses must agree with on every backend."""

import numpy as np


def patchify(images, size):
    batch, height, width, channels = images.shape
    patches = [
        images[:, y : y + size, x : x + size].reshape(batch, size * size, channels)
        for y in range(0, height, size)
        for x in range(0, width, size)
    ]
    return np.stack(patches, axis=1)


def shifted_patchify(images, size, offsets):
    pad = size
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    out = np.empty_like(patchify(images, size))
    columns = images.shape[2] // size
    for b, i in np.ndindex(out.shape[:2]):
        y, x = (i // columns) * size + pad + offsets[b, i, 0], (i % columns) * size + pad + offsets[b, i, 1]
        out[b, i] = padded[b, y : y + size, x : x + size].reshape(size * size, -1)
    return out


def rolled_patchify(images, size, offsets):
    patches = patchify(images, size)
    out = np.empty_like(patches)
    for b, i in np.ndindex(out.shape[:2]):
        square = patches[b, i].reshape(size, size, -1)
        out[b, i] = np.roll(square, tuple(offsets[b, i]), axis=(0, 1)).reshape(size * size, -1)
    return out


def patch_entropy(images, size, bins):
    rgb = patchify(images, size).astype(int)
    luma = (77 * rgb[..., 0] + 150 * rgb[..., 1] + 29 * rgb[..., 2]) >> 8
    out = np.empty(luma.shape[:2])
    for b, i in np.ndindex(out.shape):
        counts = np.bincount(luma[b, i] * bins // 256, minlength=bins)
        share = counts[counts > 0] / counts.sum()
        out[b, i] = -(share * np.log2(share)).sum() / np.log2(bins)
    return out


def layer_norm(x, gamma, beta, epsilon=1e-6):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def transformer_block(x, w, heads):
    """`w`: the block's weights in the order of `layer.get_weights()`."""
    gamma1, beta1, qkv_w, qkv_b, out_w, out_b, gamma2, beta2, in_w, in_b, mlp_w, mlp_b = w
    batch, length, width = x.shape
    qkv = layer_norm(x, gamma1, beta1) @ qkv_w + qkv_b
    q, k, v = (part.reshape(batch, length, heads, width // heads).swapaxes(1, 2) for part in np.split(qkv, 3, axis=-1))
    attention = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(width // heads)) @ v
    x = x + attention.swapaxes(1, 2).reshape(batch, length, width) @ out_w + out_b
    return x + gelu(layer_norm(x, gamma2, beta2) @ in_w + in_b) @ mlp_w + mlp_b


def info_nce(queries, keys, temperature, negatives, first=0, query_entropy=None, key_entropy=None):
    """The loss and the share of queries that rank their own key first, one query at a time."""
    queries = queries / np.linalg.norm(queries, axis=-1, keepdims=True)
    keys = keys / np.linalg.norm(keys, axis=-1, keepdims=True)
    losses, hits = [], []
    for b, i in np.ndindex(queries.shape[:2]):
        weights = np.ones(keys.shape[:2])
        own = (first + b, i)
        if negatives == "same_position":
            candidates = [(c, i) for c in range(len(keys))]
        else:
            candidates = list(np.ndindex(keys.shape[:2]))
        if negatives == "entropy_weighted":
            weights = np.abs(query_entropy[b, i] - key_entropy)
            others = [weights[c] for c in candidates if c != own]
            weights = np.maximum(weights / np.mean(others), 1e-6)
            weights[own] = 1
        logits = np.array([queries[b, i] @ keys[c] / temperature + np.log(weights[c]) for c in candidates])
        losses.append(np.log(np.exp(logits).sum()) - logits[candidates.index(own)])
        hits.append(candidates[int(np.argmax([queries[b, i] @ keys[c] for c in candidates]))] == own)
    return 2 * temperature * np.mean(losses), np.mean(hits)


def leverage(tokens, strength):
    """Diagonal of K (K + strength I)^-1 of the Gram matrix of centred tokens (N, D)."""
    centered = tokens - tokens.mean(axis=0)
    gram = centered @ centered.T
    return np.diag(gram @ np.linalg.inv(gram + strength * np.eye(len(gram))))


def side_by_side(maps, rows, columns):
    """Feature maps on a grid, (B, rows · columns, C): fine ones averaged, coarse ones interpolated."""
    found = []
    for each in maps:
        batch, height, width, channels = each.shape
        if height > rows:
            cells = each.reshape(batch, rows, height // rows, columns, width // columns, channels)
            each = cells.mean(axis=(2, 4))
        for axis, count in ((1, rows), (2, columns)):
            length = each.shape[axis]
            place = ((np.arange(count) + 0.5) * length / count - 0.5).clip(0, length - 1)
            low = np.floor(place).astype(int)
            high = np.minimum(low + 1, length - 1)
            share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
            each = each.take(low, axis) * (1 - share) + each.take(high, axis) * share
        found.append(each)
    return np.concatenate(found, axis=-1).reshape(len(each), rows * columns, -1)
