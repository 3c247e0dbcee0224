"""What shapes follow from a recipe: plain numbers, for the models and for counting costs without Keras."""

import math
from typing import Literal, get_args

# The standard sizes of the encoder.
ENCODERS = {
    "vit_tiny_patch16": {"patch_size": 16, "width": 192, "depth": 12, "num_heads": 3},
    "vit_small_patch16": {"patch_size": 16, "width": 384, "depth": 12, "num_heads": 6},
    "vit_base_patch16": {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12},
    "vit_large_patch16": {"patch_size": 16, "width": 1024, "depth": 24, "num_heads": 16},
}

# What a linear head may read of a patch; see layers/patch_read_out.py.
PARTS = ("token", "deviation", "diversity")

# What can be counted in a patch, and how contrasted copies are made simpler or, where the sign is -1, less simple: see
# layers/patch_statistics.py and layers/other_complexity.py.
Statistic = Literal[
    "entropy",
    "entropy_16",
    "entropy_32",
    "entropy_256",
    "entropy_half",
    "entropy_quarter",
    "colors",
    "deviation",
    "gradient",
    "gradient_half",
]
STATISTICS = get_args(Statistic)
Copy = Literal["blur", "posterize", "scale", "tile"]
COPIES: dict[Copy, int] = {"blur": 1, "posterize": 1, "scale": 1, "tile": -1}


# What counts as resembling in the two leverages that a head reads: see layers/leverage.py.
REGULARIZATIONS = (1 / 64, 1 / 4)
# Mean square that an encoder's tokens have at most; those of one that was trained here have 1 or less.
LARGEST_SQUARE = 16


def leverage_steps(count, regularization):
    """Steps of Newton and Schulz's iteration for `count` tokens: the error squares at each; it starts at 1 - λ / trace,
    and the trace is at most N D times the tokens' mean square."""
    return math.ceil(math.log2(LARGEST_SQUARE * count / regularization)) + 4


def averaged_side(statistic):
    """The side in pixels of the squares that one of `STATISTICS` averages first; 1 for none."""
    return {"half": 2, "quarter": 4}.get(statistic.partition("_")[2], 1)


def kept_patches(patches, mask_ratio):
    """The whole number nearest to `patches * (1 - mask_ratio)`; at least one patch is kept, and one hidden unless the
    ratio is 0."""
    if not mask_ratio:
        return patches
    # Not int(): in floats .2 of 100 is 19.999999999999996.
    return min(max(round(patches * (1 - mask_ratio)), 1), patches - 1)


def view_patches(patches, keep_ratio):
    """How many patches each view of the contrastive task keeps, for a ratio above 0 and up to 1: one at least."""
    return max(round(patches * keep_ratio), 1)


def mask_ratios(mask_ratio):
    """The ratios of masked modelling in a tuple: one, or several, each for its part of a batch."""
    return tuple(mask_ratio) if isinstance(mask_ratio, (list, tuple)) else (mask_ratio,)


def stage_ends(strides, channels):
    """Numbers of the last map of each stage: a run of maps of one stride and number of channels.

    Where all maps are of one kind, as a transformer's blocks, each is a stage.
    """
    kinds = [*zip(strides, channels, strict=True), None]
    if len(set(kinds[:-1])) == 1:
        return list(range(len(kinds) - 1))
    return [i for i in range(len(kinds) - 1) if kinds[i] != kinds[i + 1]]


def target_widths(strides, channels, grid_dim, pooled_dim):
    """Widths of a teacher's grid target and pooled target: as asked, or all that its maps have."""
    return min(grid_dim, sum(channels[i] for i in stage_ends(strides, channels))), min(pooled_dim, sum(channels))


def projector_hidden(width, given=None):
    """Hidden width of the contrastive heads for an encoder of `width`: as `given`, or by default."""
    return given or (1024 if width <= 192 else 4096)


def decoder_heads(width):
    """Attention heads of the entropy decoder: 32 features each."""
    return max(width // 32, 1)


# What `guide.teacher` calls the guide that is counted in the images, and its targets: see training/pixel_measures.py.
PIXELS, PIXEL_TARGETS = "pixels", 28
# And the one that comes with the records, from a teacher that `prepare` asked: see data/records/packed_targets.py.
PACKED = "packed"
