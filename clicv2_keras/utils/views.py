"""What a view of an image is: one definition for the two routes that make them; NumPy alone is imported.

The tf.data pipeline reads views from files, by Pillow (`images.network_input`) and keras-cv (`data.augment`);
`layers.RandomViews` makes them of arrays inside a model, in `keras.ops`. The order, and the units of what is drawn:

1. **Crop**: a box in shares of the image's sides, `crop_box`. Its area is uniform in [min_area, 1] of the image's, its
   aspect ratio up to 4/3 of the image's own either way (whole images are scored with their aspect not kept), its place
   uniform. A side that would be longer than the image's is cut to it, so that for a `min_area` above 3/4 a crop may
   have less: √(3/4 · min_area) at least. A `min_area` of 1 keeps the whole image.
2. **Resize** to S × S by the triangle filter, widened where it shrinks (Pillow's BILINEAR): first along the rows, then
   along the columns, each rounded to whole values, halves upwards. Where the filter reaches beyond the box, it reads
   the image there.
3. **Flip**: mirror half of the crops left to right.
4. **Colour**: `jitter_colors`, by three factors uniform in [1 - jitter, 1 + jitter]; a share `grey` of the views has a
   saturation of 0. There is no blur and no noise: both change the very thing that is to be learnt.

The routes draw from generators of their own. Given the same draws, their crops differ by 1/255 at most, where a value
lies on the edge of a rounding: 1 in 3,000 values of a picture. At a jitter of .2, 1 in 100,000 values of a view then
differs by 2/255. Pillow 13 filters tall crops along the columns first: there a tenth of the values of a crop differ by
1, and 6 in 1,000 of a view by 2.
"""

import math

import numpy as np

VIEWS = ("same_crop", "two_crops")
ASPECT = 4 / 3
WHOLE = (0.0, 0.0, 1.0, 1.0)
# Crops that a person would find as complex as the whole.
LIKE_THE_WHOLE = 0.8

# The factors of a view, in the order in which they are drawn.
FACTORS = ("brightness", "contrast", "saturation")
SATURATION = FACTORS.index("saturation")
# What a brightness of 1 above 1 adds, in values of 0 to 255: as much as that factor would add to middle grey.
BRIGHTNESS = 127.5
# keras-cv's and TensorFlow's weights of red, green and blue in grey.
LUMA = (0.2989, 0.587, 0.114)


def check_views(views, min_area):
    """Raise ValueError where `views` is none of `VIEWS`, or `min_area` not in (0, 1]."""
    if views not in VIEWS:
        raise ValueError(f"views must be one of {', '.join(VIEWS)}, got {views!r}.")
    if not 0 < min_area <= 1:
        raise ValueError(f"min_area must be above 0 and at most 1, got {min_area}.")


def crop_box(draws, min_area, ops=np):
    """The part of an image that a crop reads.

    Args:
        draws: float (..., 4), uniform in [0, 1): of area, aspect ratio, and the places across and down.
        min_area: smallest area as a share of the image.
        ops: NumPy, or `keras.ops` for tensors.

    Returns:
        float (..., 4): left, upper, right and lower, as shares of the image's sides.
    """
    area = min_area + (1 - min_area) * draws[..., 0]
    spread = math.log(ASPECT) if min_area < 1 else 0.0
    aspect = ops.exp((2 * draws[..., 1] - 1) * spread)
    across, down = ops.minimum(ops.sqrt(area * aspect), 1.0), ops.minimum(ops.sqrt(area / aspect), 1.0)
    left, upper = (1 - across) * draws[..., 2], (1 - down) * draws[..., 3]
    # Rounding may put a sum a little beyond the side.
    right, lower = ops.minimum(left + across, 1.0), ops.minimum(upper + down, 1.0)
    return ops.stack([left, upper, right, lower], axis=-1)


def triangle_filter(centers, step, length, ops=np):
    """The weights by which pixels of another size read a row of `length`: Pillow's BILINEAR, widened where it shrinks.

    Args:
        centers: float (..., size): where the middle of each lies in the row, whose first pixel's middle is 0.
        step: how many of the row's pixels one takes; a number, or float (..., 1, 1).
        ops: NumPy, or `keras.ops` for tensors.

    Returns:
        float (..., size, length), rows of sum 1.
    """
    distance = ops.abs(centers[..., None] - ops.arange(length, dtype="float32"))
    weights = ops.maximum(1.0 - distance / ops.maximum(step, 1.0), 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def draw_crop(rng, min_area, flip):
    """A box as of `crop_box`, float (4,), and whether it is mirrored, from a `numpy.random.Generator`."""
    return crop_box(rng.random(4), min_area), flip and rng.random() < 0.5


def shortest_side(boxes):
    """The shortest side of any of `boxes`, as a share of the image's side."""
    return min(min(right - left, lower - upper) for left, upper, right, lower in boxes)


def factor_range(jitter):
    """Between what the factors of a colour jitter of this strength are drawn."""
    return 1 - jitter, 1 + jitter


def jitter_colors(images, factors, ops=np):
    """Change contrast, then brightness, then saturation; after each, values are clipped to [0, 255].

    Contrast multiplies the distance from the mean of each channel and comes first, because a mean of whole numbers is
    the same in whatever order they are added (up to 256 x 256 pixels). Brightness adds `BRIGHTNESS` times what its
    factor is above 1. Saturation multiplies the distance from grey.

    Args:
        images: float (B, S, S, 3), whole numbers in [0, 255].
        factors: float (B, 3), in the order of `FACTORS`; 1 changes nothing.
        ops: NumPy, or `keras.ops` for tensors.

    Returns:
        float (B, S, S, 3), whole numbers in [0, 255].
    """
    brightness, contrast, saturation = (factors[:, i, None, None, None] for i in range(len(FACTORS)))
    mean = ops.mean(images, axis=(1, 2), keepdims=True)
    images = ops.clip(mean + contrast * (images - mean), 0.0, 255.0)
    images = ops.clip(images + (brightness - 1) * BRIGHTNESS, 0.0, 255.0)
    return ops.round(ops.clip(saturate(images, saturation), 0.0, 255.0))


def saturate(images, factors):
    """Blend float (..., 3) with its grey: 0 is grey, 1 is unchanged. Plain arithmetic, for tensors of any kind."""
    grey = sum(images[..., i : i + 1] * weight for i, weight in enumerate(LUMA))
    return grey + factors * (images - grey)
