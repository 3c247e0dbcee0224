"""Overrides that shrink any recipe; what makes it that recipe stays."""

TINY = (
    "data.image_size=32",
    "data.source=folder",
    "encoder.width=16",
    "encoder.depth=1",
    "encoder.num_heads=2",
    "contrast.projector_hidden=16",
    "contrast.projection_dim=8",
    "contrast.tokens=3",
    "entropy.decoder_width=16",
    "entropy.decoder_depth=1",
    "train.batch_size=4",
    "train.jit=false",
)
