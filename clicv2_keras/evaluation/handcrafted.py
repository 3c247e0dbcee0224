"""Measures of complexity that need no model, for comparison: each a number of an image, more for more complex ones."""

import io

import numpy as np
from PIL import Image

LONGEST = 512
HANDCRAFTED = ("grey_entropy", "jpeg_q10", "jpeg_q50", "jpeg_q75", "png", "edges", "edges_after_blur", "gradient")


def handcrafted(image):
    """Eight measures of a `PIL.Image` of mode RGB, by `HANDCRAFTED`.

    Taken at the image's own size, or with its longest side reduced to 512 pixels. Shannon's entropy of the grey levels,
    in bits; bytes per pixel as JPEG (of quality 10, 50, 75) and as PNG; the share of Canny's edge pixels
    (`skimage.feature.canny`, σ = 1) and of those that a blur of σ = 2 leaves; Sobel's mean gradient.
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
        "grey_entropy": float(shannon_entropy(grey)),
        "jpeg_q10": _bytes(image, "JPEG", quality=10) / pixels,
        "jpeg_q50": _bytes(image, "JPEG", quality=50) / pixels,
        "jpeg_q75": _bytes(image, "JPEG", quality=75) / pixels,
        "png": _bytes(image, "PNG") / pixels,
        "edges": float(canny(unit, sigma=1).mean()),
        "edges_after_blur": float(canny(unit, sigma=2).mean()),
        "gradient": float(sobel(unit).mean()),
    }


def _bytes(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.tell()
