"""Measures of complexity that need no model, for comparison: each a number of an image, more for more complex ones."""

import io

import numpy as np
from PIL import Image

LONGEST = 512


def handcrafted(image):
    """Eight measures of a `PIL.Image` of mode RGB, by name.

    Taken at the image's own size, or with its longest side reduced to 512 pixels. Edges are Canny's
    (`skimage.feature.canny`), before and after a blur of σ = 2.
    """
    from skimage.feature import canny
    from skimage.filters import sobel
    from skimage.measure import shannon_entropy

    if max(image.size) > LONGEST:
        image = image.copy()
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    pixels = image.width * image.height
    grey = np.asarray(image.convert("L"))
    unit = grey / 255.0
    return {
        "grey entropy": float(shannon_entropy(grey)),
        "JPEG q10 bytes a pixel": _bytes(image, "JPEG", quality=10) / pixels,
        "JPEG q50 bytes a pixel": _bytes(image, "JPEG", quality=50) / pixels,
        "JPEG q75 bytes a pixel": _bytes(image, "JPEG", quality=75) / pixels,
        "PNG bytes a pixel": _bytes(image, "PNG") / pixels,
        "edge density": float(canny(unit, sigma=1).mean()),
        "edge density after blur": float(canny(unit, sigma=2).mean()),
        "mean gradient": float(sobel(unit).mean()),
    }


def _bytes(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.tell()
