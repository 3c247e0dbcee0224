"""The one way a file becomes pixels, for training and scoring alike: Pillow and NumPy, no Keras, no TensorFlow."""

import io

import numpy as np
from PIL import Image, ImageOps

# Of a 16-bit image the upper 8 bits are kept; Pillow's own conversion would clip at 255.
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a")


class UnreadableImage(Exception):
    """One line that says why an image could not be read."""


def is_image(head):
    """Whether a file that begins with the bytes `head` (12 or more) is a JPEG, PNG, WebP, BMP or GIF."""
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def open_rgb(file, at_least=None):
    """Decode an image as people see it: upright as EXIF says, in RGB, the first frame of an animation.

    Alpha is laid over white, CMYK and palettes are converted, 16-bit greys keep their upper 8 bits.

    Args:
        file: a path, encoded bytes or a binary file.
        at_least: decode a JPEG at a reduced scale of 1/2, 1/4 or 1/8 where both sides keep this many pixels.

    Returns:
        A `PIL.Image` of mode RGB.

    Raises:
        UnreadableImage: where the file is missing, no image, broken, truncated or a bomb to Pillow (above 179
            megapixels).
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            if at_least:
                image.draft(None, (at_least, at_least))
            return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage("not an image that Pillow can read") from None
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        raise UnreadableImage(" ".join(str(error).split()) or type(error).__name__) from None


def network_input(image, size):
    """The one way to a model's input: the whole of a `PIL.Image`, its aspect not kept, as uint8 (size, size, 3)."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _rgb(image):
    if image.mode in _SIXTEEN_BIT:
        image = Image.fromarray((np.asarray(image).astype("int64") >> 8).clip(0, 255).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
