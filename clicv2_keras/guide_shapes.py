"""The shapes of what a guide learns: plain numbers, so that a recipe is counted without loading keras."""


def stage_ends(strides, channels):
    """Numbers of the last map of each stage: a run of maps of one stride and number of channels."""
    kinds = [*zip(strides, channels, strict=True), None]
    return [i for i in range(len(kinds) - 1) if kinds[i] != kinds[i + 1]]


def target_widths(strides, channels, grid_dim, pooled_dim):
    """Widths of a teacher's grid target and pooled target: as asked, or all that its maps have."""
    return min(grid_dim, sum(channels[i] for i in stage_ends(strides, channels))), min(pooled_dim, sum(channels))
