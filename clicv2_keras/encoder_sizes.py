"""The standard sizes of the encoder: plain numbers, so that a recipe is checked without loading keras."""

ENCODERS = {
    "vit_tiny_patch16": {"patch_size": 16, "width": 192, "depth": 12, "num_heads": 3},
    "vit_small_patch16": {"patch_size": 16, "width": 384, "depth": 12, "num_heads": 6},
    "vit_base_patch16": {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12},
    "vit_large_patch16": {"patch_size": 16, "width": 1024, "depth": 24, "num_heads": 16},
}
