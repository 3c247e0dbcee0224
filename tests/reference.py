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


def info_nce(queries, keys, temperature, negatives, first=0, query_entropy=None, key_entropy=None, copies=None):
    """The loss and the share of queries that rank their own key first, one query at a time."""
    queries = queries / np.linalg.norm(queries, axis=-1, keepdims=True)
    keys = keys / np.linalg.norm(keys, axis=-1, keepdims=True)
    losses, hits = [], []
    for b, i in np.ndindex(queries.shape[:2]):
        weights = np.ones(keys.shape[:2])
        own = (first + b, i)
        if negatives == "same_position":
            candidates = [(c, i) for c in range(len(keys))]
        elif negatives == "same_image":
            candidates = [(first + b, j) for j in range(keys.shape[1])]
        else:
            candidates = list(np.ndindex(keys.shape[:2]))
        if negatives == "entropy_weighted":
            weights = np.abs(query_entropy[b, i] - key_entropy)
            others = [weights[c] for c in candidates if c != own]
            weights = np.maximum(weights / np.mean(others), 1e-6)
            weights[own] = 1
        logits = np.array([queries[b, i] @ keys[c] / temperature + np.log(weights[c]) for c in candidates])
        more = []
        if copies is not None:
            more = [np.exp(queries[b, i] @ copies[b, i] / np.linalg.norm(copies[b, i]) / temperature)]
        losses.append(np.log(np.exp(logits).sum() + sum(more)) - logits[candidates.index(own)])
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


def luma(pixels):
    r, g, b = np.moveaxis(pixels.astype(int), -1, 0)
    return (77 * r + 150 * g + 29 * b) >> 8


def block_means(square, side):
    """Of a square of numbers, those of its squares of `side`."""
    count = len(square) // side
    return np.array(
        [
            [square[y * side : (y + 1) * side, x * side : (x + 1) * side].mean() for x in range(count)]
            for y in range(count)
        ]
    )


def level_entropy(levels, bins):
    counts = np.bincount((levels * bins // 256).ravel(), minlength=bins)
    share = counts[counts > 0] / counts.sum()
    return -(share * np.log2(share)).sum() / np.log2(bins)


def patch_statistic(name, patch, bins):
    """One statistic of a patch, uint8 (P, P, 3)."""
    grey = luma(patch)
    kind, _, detail = name.partition("_")
    if detail in ("half", "quarter"):
        grey = np.floor(block_means(grey, 2 if detail == "half" else 4)).astype(int)
    if kind == "entropy":
        return level_entropy(grey, {"": bins, "half": 32, "quarter": 32}.get(detail) or int(detail))
    if kind == "colors":
        different = {tuple(pixel) for pixel in (patch.astype(int) // 32).reshape(-1, 3)}
        return np.log(len(different)) / np.log(min(512, patch.shape[0] ** 2))
    if kind == "deviation":
        return np.log(1 + grey.std()) / np.log(128.5)
    assert kind == "gradient"
    across, down = np.abs(np.diff(grey, axis=1)).mean(), np.abs(np.diff(grey, axis=0)).mean()
    return np.log(1 + (across + down) / 2) / np.log(256)


def resized(row, size):
    """Numbers in a row at another length: the triangle filter, as wide as a step where it shrinks."""
    scale, out = len(row) / size, []
    for i in range(size):
        weights = [max(0.0, 1 - abs((i + 0.5) * scale - (j + 0.5)) / max(scale, 1)) for j in range(len(row))]
        out.append(np.average(row, weights=weights))
    return np.array(out)


def copy_at_other_complexity(kind, image):
    """uint8 (S, S, 3) of the same shape; before the last rounding exact."""
    side = len(image)
    if kind == "posterize":
        return np.floor(np.floor(image / 85 + 0.5) * 85 + 0.5).astype(int)

    def along_rows(row):
        if kind == "blur":
            place = np.arange(side)
            return np.array([np.average(row, weights=np.exp(-((place - i) ** 2) / 8)) for i in range(side)])
        if kind == "scale":
            return resized(resized(row, side // 4), side)
        return np.tile(resized(row, side // 2), 2)

    out = np.apply_along_axis(along_rows, 0, image.astype(float))
    return np.floor(np.apply_along_axis(along_rows, 1, out) + 0.5).astype(int)


def layout_thumbnail(image, visible):
    """8 x 8 numbers of mean 0 and length 1 of what is `visible` (S, S) of an image, uint8 (S, S, 3); S divides by 8."""
    grey, side = luma(image), len(image) // 8
    out = np.full((8, 8), np.nan)
    for y, x in np.ndindex(8, 8):
        cell = np.s_[y * side : (y + 1) * side, x * side : (x + 1) * side]
        if visible[cell].any():
            out[y, x] = grey[cell][visible[cell]].mean()
    out = np.nan_to_num(out - np.nanmean(out)).ravel()
    return out / np.linalg.norm(out)
