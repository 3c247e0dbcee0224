"""What a recipe costs, counted from its numbers: no model is built, so that even the largest is told in no time."""

from typing import NamedTuple

from clicv2_keras.recipe.shapes import (
    PARTS,
    PIXEL_TARGETS,
    REGULARIZATIONS,
    decoder_heads,
    kept_patches,
    leverage_steps,
    mask_ratios,
    projector_hidden,
    target_widths,
    view_patches,
)


class NetworkCost(NamedTuple):
    """A pretrained network's parameters, those that training changes, FLOPs of an image, its maps, and how many numbers
    its layers give."""

    parameters: int
    trainable: int
    flops: float
    strides: tuple
    channels: tuple
    activations: int = 0


class Cost(NamedTuple):
    """Parameters, FLOPs (2 a multiply-add, of matrix products and convolutions alone) and bytes.

    `kept` are the patches that masked modelling leaves of an image, of several ratios their mean. `teacher` are the
    parameters of the moving average, `guide` those of a guide's network.
    `activation_bytes` is an estimate: what the backward pass needs to find again, attention matrices included; or what
    the start of a head takes, where that is more.
    """

    patches: int
    kept: int
    encoder: int
    heads: int
    decoder: int
    frozen: int
    teacher: int
    guide: int
    flops_per_image: float
    state_bytes: int
    activation_bytes: int

    @property
    def trainable(self):
        return self.encoder + self.heads + self.decoder - self.frozen


def count_cost(recipe, stem=None, guide=None, groups=1, labelled=0):
    """The `Cost` of a recipe's training step.

    Args:
        recipe: the `Recipe`; where it names `encoder.weights`, the shape keys must be filled in.
        stem, guide: the `NetworkCost` of its networks.
        groups: intercepts that its labels have.
        labelled: how many labelled images its head starts from.
    """
    shape, contrast, entropy = recipe.encoder.shape(), recipe.contrast, recipe.entropy
    patch, width, depth = shape["patch_size"], shape["width"], shape["depth"]
    patches = (recipe.data.image_size // patch) ** 2
    visible = [kept_patches(patches, ratio) for ratio in mask_ratios(entropy.mask_ratio)]
    inputs = 3 * patch**2 if stem is None else sum(stem.channels)
    projection = inputs * width + width
    encoder = projection + depth * _block(width) + 2 * width
    output = width + (inputs if stem is not None and recipe.encoder.stem_skip else 0)
    # The stem's own statistics are two numbers a channel.
    stem_size = 0 if stem is None else stem.parameters + 2 * inputs
    stem_forward = 0.0 if stem is None else stem.flops
    is_trained = stem is not None and stem.trainable > 0
    stem_pass = 3 * stem_forward if is_trained else stem_forward
    # What the backward pass of a stem that is trained needs.
    stem_floats = stem.activations if is_trained else 0

    def encoder_flops(tokens, read=None):
        last = _block_flops(tokens, width, read or tokens)
        return 2 * tokens * inputs * width + (depth - 1) * _block_flops(tokens, width, tokens) + last

    def floats_kept(tokens, width, depth, heads):
        # Norms, projections, residuals and what GELU keeps: 24 a token and feature (measured: 13 MB an image of the
        # quickstart's model at depth 6, counted so 12); attention logits and weights.
        return depth * (24 * tokens * width + 2 * heads * tokens**2)

    def encoder_floats(tokens):
        if not recipe.train.recompute:
            return floats_kept(tokens, width, depth, shape["num_heads"])
        # What each block reads, and one block's activations at a time.
        return depth * tokens * width + floats_kept(tokens, width, 1, shape["num_heads"])

    # Forward and twice that backward; what is computed again is a forward pass more.
    passes = 4 if recipe.train.recompute else 3
    heads = teacher = decoder = start_bytes = 0
    flops = floats = 0.0
    if contrast.level != "none":
        hidden, out = projector_hidden(width, contrast.projector_hidden), contrast.projection_dim
        projector, predictor = _head(3, output, hidden, out), _head(2, out, hidden, out)
        heads, teacher = projector + predictor, encoder + stem_size + projector
        tokens = contrast.tokens + bool(contrast.global_weight) if contrast.level == "patch" else 1
        seen = view_patches(patches, contrast.keep_ratio)
        read = contrast.tokens if contrast.level == "patch" and not contrast.global_weight else seen
        # Two views, and with copies three; the teacher forward alone.
        views = 3 if contrast.copies else 2
        heads += output if contrast.copies else 0
        flops += views * ((passes + 1) * encoder_flops(seen, read) + stem_pass + stem_forward)
        flops += 2 * tokens * (2 * 3 * (projector + predictor) + views * projector)
        floats += views * (encoder_floats(seen) + stem_floats) + 2 * tokens * 6 * hidden
        # Each view's tokens against their candidates: logits and their softmax, forward and back to the student.
        images = recipe.train.batch_size // recipe.train.accumulate
        own = {"same_position": images, "same_image": tokens}
        candidates = own.get(contrast.negatives, images * tokens)
        flops += 2 * tokens * candidates * 4 * out
        # Weights take differences, whose key is whose own, and what comes of both.
        floats += 2 * tokens * candidates * (6 if contrast.negatives == "entropy_weighted" else 2)
    if entropy.weight:
        count, share = len(entropy.statistics), 1 / len(visible)
        for kept in visible:
            flops += share * (passes * encoder_flops(kept) + stem_pass)
            floats += share * (encoder_floats(kept) + stem_floats)
        if entropy.target != "image" and any(kept < patches for kept in visible):
            wide, deep = entropy.decoder_width, entropy.decoder_depth
            decoder += output * wide + wide + wide + deep * _block(wide) + 2 * wide + (wide + 1) * count
            for kept in (kept for kept in visible if kept < patches):
                flops += share * 3 * (2 * kept * output * wide + deep * _block_flops(patches, wide, patches))
                floats += share * floats_kept(patches, wide, deep, decoder_heads(wide))
        if entropy.target != "patch":
            decoder += (output + 1) * count
        if entropy.visible:
            decoder += (output + 1) * count
    if recipe.guide.teacher is not None:
        settings, grid, pooled = recipe.guide, 0, PIXEL_TARGETS
        if guide is not None:
            grid, pooled = target_widths(guide.strides, guide.channels, settings.grid_dim, settings.pooled_dim)
            heads += (output + 1) * grid
            flops += guide.flops
        heads += (2 * output + 1) * pooled
        flops += passes * encoder_flops(patches) + 3 * (2 * patches * output * grid + 4 * output * pooled) + stem_pass
        floats += encoder_floats(patches) + stem_floats
    if recipe.labels.dataset is not None:
        parts = recipe.labels.parts or PARTS
        # The kernel, the bias and an offset a group; two crops an image.
        read = sum(2 if part == "diversity" else output for part in parts)
        heads += read + 1 + groups
        # Before the first step the head is fitted to what it reads of all of them, in float32.
        start_bytes = 4 * labelled * patches * read
        flops += 2 * (passes * encoder_flops(patches) + stem_pass)
        floats += 2 * (encoder_floats(patches) + stem_floats)
        if "diversity" in parts:
            # Two products of N x N a step, both of whose factors are kept.
            steps = sum(leverage_steps(patches, strength) for strength in REGULARIZATIONS)
            flops += 2 * 3 * steps * 4 * patches**3
            floats += 2 * steps * 2 * patches**2
    if stem is None:
        frozen = projection if recipe.encoder.freeze_patch_projection else 0
    else:
        frozen = stem_size - stem.trainable
    encoder += stem_size
    watched = guide.parameters if guide is not None else 0
    trainable = encoder + heads + decoder - frozen
    size = 2 if recipe.train.precision == "bfloat16" else 4
    return Cost(
        patches=patches,
        kept=round(sum(visible) / len(visible)),
        encoder=encoder,
        heads=heads,
        decoder=decoder,
        frozen=frozen,
        teacher=teacher,
        guide=watched,
        flops_per_image=flops,
        # Weight, gradient, AdamW's two moments, what is accumulated and the weights' average, each in float32.
        state_bytes=4 * (4 + (recipe.train.accumulate > 1) + (recipe.optimizer.average > 0)) * trainable
        + 4 * (frozen + teacher + watched),
        activation_bytes=max(int(floats * size * recipe.train.batch_size / recipe.train.accumulate), start_bytes),
    )


def _block(width):
    """Parameters of a transformer block with an MLP of 4 times the width."""
    return 12 * width**2 + 13 * width


def _block_flops(tokens, width, read):
    """Keys and values of all tokens; queries, projection and MLP of those that are read."""
    return (4 * tokens + 20 * read) * width**2 + 4 * tokens * read * width


def _head(depth, inputs, hidden, outputs):
    """Parameters of a projector or predictor."""
    return inputs * hidden + (depth - 2) * hidden**2 + hidden * outputs + 2 * hidden * (depth - 1)
