"""A small real image file under any name."""

from PIL import Image

from clicv2_keras.utils.procedural import procedural_image


def draw_image(path, kind="JPEG", seed=0):
    """Draw 24 x 24 pixels into a file of the format `kind`, whatever its name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(procedural_image(seed, 24)[0]).save(path, kind)
