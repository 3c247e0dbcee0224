"""What shapes follow from a recipe: plain numbers, for the models and for counting costs without Keras."""

# The standard sizes of the encoder.
ENCODERS = {
    "vit_tiny_patch16": {"patch_size": 16, "width": 192, "depth": 12, "num_heads": 3},
    "vit_small_patch16": {"patch_size": 16, "width": 384, "depth": 12, "num_heads": 6},
    "vit_base_patch16": {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12},
    "vit_large_patch16": {"patch_size": 16, "width": 1024, "depth": 24, "num_heads": 16},
}


def kept_patches(patches, mask_ratio):
    """The whole number nearest to `patches * (1 - mask_ratio)`; at least one patch is kept and one hidden."""
    # Not int(): in floats .2 of 100 is 19.999999999999996.
    return min(max(round(patches * (1 - mask_ratio)), 1), patches - 1)


def stage_ends(strides, channels):
    """Numbers of the last map of each stage: a run of maps of one stride and number of channels."""
    kinds = [*zip(strides, channels, strict=True), None]
    return [i for i in range(len(kinds) - 1) if kinds[i] != kinds[i + 1]]


def target_widths(strides, channels, grid_dim, pooled_dim):
    """Widths of a teacher's grid target and pooled target: as asked, or all that its maps have."""
    return min(grid_dim, sum(channels[i] for i in stage_ends(strides, channels))), min(pooled_dim, sum(channels))
