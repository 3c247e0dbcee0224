"""Models by name."""

import difflib

ENCODERS = {
    "vit_tiny_patch16": {"patch_size": 16, "width": 192, "depth": 12, "num_heads": 3},
    "vit_small_patch16": {"patch_size": 16, "width": 384, "depth": 12, "num_heads": 6},
    "vit_base_patch16": {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12},
    "vit_large_patch16": {"patch_size": 16, "width": 1024, "depth": 24, "num_heads": 16},
}


def preset_config(name, presets):
    """The entry `name` of `presets`.

    Raises:
        ValueError: naming what there is, nearest first.
    """
    if name in presets:
        return presets[name]
    nearest = difflib.get_close_matches(name, presets, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"There is no preset {name!r}; there are {', '.join(presets)}.{hint}")
