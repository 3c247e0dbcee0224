"""What can be counted in the pixels of an image, slowly and without labels: the targets of `guide.teacher: pixels`."""

import numpy as np
from PIL import Image

from clicv2_keras.evaluation.handcrafted import handcrafted
from clicv2_keras.recipe.shapes import PIXEL_TARGETS

SIDE, SMALL = 256, 128
# Felzenszwalb and Huttenlocher's scale and blur, at 128 × 128 pixels; sides and levels a channel of the colour counts.
SEGMENTATIONS = ((25, 0.8), (50, 0.8), (50, 0.5), (100, 0.5))
PALETTES = ((128, 16), (128, 32), (64, 16), (64, 32), (32, 32))
GRADIENT_SIDES = (256, 128, 64, 32, 16)
# Mean and deviation of `counted` before the logistic function, over 4,000 photographs, paintings and screenshots.
CENTER, SPREAD = 6.0, 0.4


def pixel_measures(image):
    """Measures of a `PIL.Image` of mode RGB, by name: their logarithms, float32.

    Segments (arXiv 2403.03134 finds people's judgements to follow them), colours and gradients at several scales (arXiv
    2501.15890), and the handcrafted measures that `evaluate` compares with, all of the image at 256 × 256 pixels.
    """
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    found = {f"segments {scale} {blur}": count_segments(image, scale, blur) for scale, blur in SEGMENTATIONS}
    found |= {f"colours {side} {levels}": count_colors(image, side, levels) for side, levels in PALETTES}
    found |= handcrafted(image)
    for side in GRADIENT_SIDES:
        gradient = _gradient(image, side)
        found |= {f"gradient {side}": gradient.mean(), f"root gradient {side}": np.sqrt(gradient).mean()}
    return {name: np.log(max(value, 1e-3)).astype("float32") for name, value in found.items()}


class CountedTargets:
    """The `pixel_targets` of each image of a batch, as `training_dataset` takes them: `brought`."""

    parts = {"guide_measures": ((PIXEL_TARGETS,), "float32")}
    # The crops are the recipe's own.
    draw = None

    def read(self, number, epoch, image):
        """Those of `image`, uint8 (S, S, 3)."""
        return (pixel_targets(image),)


def pixel_targets(pixels):
    """All `pixel_measures` of an image, uint8 (S, S, 3), and last its `counted_complexity`: float32 (28,)."""
    measures = pixel_measures(Image.fromarray(pixels))
    return np.array([*measures.values(), counted_complexity(measures)], "float32")


def counted_complexity(measures):
    """One number of what `pixel_measures` found, in (0, 1): about the share of pictures that are simpler.

    ¾ log(segments) + ¼ log(colours), through a logistic function. How scale, levels and weights were chosen is not
    recorded; how they stand among others: benchmarks/results/counted_complexity.md.
    """
    counted = 0.75 * measures["segments 25 0.8"] + 0.25 * measures["colours 128 16"]
    return 1 / (1 + np.exp(-1.2 * (counted - CENTER) / SPREAD))


def count_segments(image, scale=25, blur=0.8):
    """Segments of a `PIL.Image` at 128 × 128 pixels by Felzenszwalb and Huttenlocher's method (2004), an int."""
    from skimage.segmentation import felzenszwalb

    return int(felzenszwalb(_pixels(image, SMALL), scale=scale, sigma=blur, min_size=5).max()) + 1


def count_colors(image, side=128, levels=16):
    """Different colours of a `PIL.Image` at `side` × `side` pixels, `levels` a channel, an int."""
    coarse = _pixels(image, side).astype("int32") * levels // 256
    return len(np.unique(coarse @ [levels**2, levels, 1]))


def _gradient(image, side):
    from skimage.filters import sobel

    pixels = _pixels(image, side) / 255
    return np.sqrt(sum(sobel(pixels[..., channel]) ** 2 for channel in range(3)))


def _pixels(image, side):
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
