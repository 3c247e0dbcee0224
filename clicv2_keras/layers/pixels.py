"""What is taken as an image: the one place that says which shapes and types of array, and what floats mean."""

import keras
from keras import ops


def check_shape(images, size=None):
    """Whether `images` are (B, H, W, 3), or with `size`, a side in pixels, (B, size, size, 3).

    Raises:
        ValueError: naming the shape that is wanted and how to come by it.
    """
    side = ("H", "W") if size is None else (size, size)
    shape = tuple(images.shape)
    if len(shape) == 4 and shape[3] == 3 and (size is None or shape[1:3] == side):
        return
    resize = f": resize each by Pillow's convert('RGB').resize({side}, Resampling.BILINEAR)" if size else ""
    raise ValueError(f"Images must be of shape (B, {side[0]}, {side[1]}, 3), got {shape}{resize}.")


def check_uint8(images):
    """Whether `images`, or patches, are uint8.

    Raises:
        ValueError: naming the type that is there and how to convert it.
    """
    dtype = keras.backend.standardize_dtype(images.dtype)
    if dtype != "uint8":
        how = "(255 * images).round().astype('uint8') if they lie in [0, 1]" if _floats(images) else "astype('uint8')"
        raise ValueError(f"Images must be uint8 in [0, 255], got {dtype}: convert them, by {how}.")


def as_pixels(images, value_range=None):
    """Images or patches of any shape as float32 in [0, 255], differentiable where they are floats.

    Args:
        images: uint8 in [0, 255]; or, where there is a `value_range`, floats.
        value_range: (black, white), what floats are for 0 and 255. Others follow the same line: none is clipped.

    Raises:
        ValueError: where `images` are integers of another type, or floats without a `value_range`.
    """
    if value_range is not None and _floats(images):
        black, white = value_range
        return (ops.cast(images, "float32") - black) * (255.0 / (white - black))
    try:
        check_uint8(images)
    except ValueError as error:
        if not _floats(images):
            raise
        raise ValueError(
            f"{error} Or say what floats mean, as by value_range=(0, 1), to ViTEncoder or from_preset. "
            "(A functional or Sequential model casts to the dtype of its keras.Input.)"
        ) from None
    return ops.cast(images, "float32")


def luma(pixels):
    """Integer luma (…), in [0, 255], of uint8 pixels (…, 3).

    It is (77 R + 150 G + 29 B) >> 8, so that every backend bins alike.

    Raises:
        ValueError: where the pixels are not uint8.
    """
    check_uint8(pixels)
    rgb = ops.cast(pixels, "int32")
    return (77 * rgb[..., 0] + 150 * rgb[..., 1] + 29 * rgb[..., 2]) // 256


def _floats(images):
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(images.dtype))
