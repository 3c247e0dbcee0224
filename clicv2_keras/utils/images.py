"""The one way a file becomes pixels, for training and scoring alike: Pillow and NumPy, no Keras, no TensorFlow."""

import contextlib
import io
import os
import stat
import threading
import weakref
from typing import NamedTuple

import numpy as np
from PIL import Image

from clicv2_keras.utils.views import WHOLE

# Of a 16-bit image the upper 8 bits are kept; Pillow's own conversion would clip at 255.
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Others that Pillow knows run a program (EPS) or need one.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "PPM")
# What is decoded at most; a JPEG counts after its reduction. A thin image's first pass of resizing grows with its side.
MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535
# Bytes that decoding takes at most, a pixel: 4 a mode, and four of them at a time to lay a picture over white; some
# libraries keep a picture of their own beside.
_BYTES = {"WEBP": 24, "AVIF": 20}
_ORIENTATION = 0x0112
# What makes a picture upright, by EXIF's number; 5 to 8 turn its sides.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Of a progressive JPEG: each scan goes over the whole picture, and may be of a few bytes. Encoders make a dozen.
MAX_SCANS = 100
# Of a TIFF: the sides of its tiles, each of which is decoded whole.
_TILE_WIDTH, _TILE_LENGTH = 322, 323
# Of a TIFF: 0 where white is 0; how many bits; how they are read, 1 for unsigned.
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339
_NO_WHITE = "its pixels are signed or of 32 bits, and nothing says what black and white are: convert it to 8 bits"
_SIGNATURES = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"BM": ".bmp",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
}


# Bytes that decoded images may take in all threads together; one that does not fit is decoded by itself.
BUDGET = 2**30
# glibc keeps freed blocks of up to 32 MB, for each thread; larger ones go back to the system. Pillow takes 16 MB.
Image.core.set_block_size(64 * 2**20)


class UnreadableImage(Exception):
    """One line that says why an image could not be read."""


class DecodedImage(NamedTuple):
    """A `PIL.Image` of mode RGB, upright, perhaps reduced; `width` and `height` are those before the reduction."""

    image: Image.Image
    width: int
    height: int


def is_image(head):
    """Whether a file that begins with the bytes `head` (12 or more) is a JPEG, PNG, WebP, BMP or GIF."""
    return ending_of(head) is not None


def ending_of(head):
    """How the name of such a file ends, `.jpg` for example; None of any other."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    return next((ending for signature, ending in _SIGNATURES.items() if head.startswith(signature)), None)


def open_rgb(file, at_least=None):
    """The image of `decode_image` alone, a `PIL.Image` of mode RGB."""
    return decode_image(file, at_least).image


def decode_image(file, at_least=None):
    """Decode an image as people see it: upright as EXIF says, in RGB, the first frame of an animation.

    Alpha is laid over white, CMYK and palettes are converted, 12- and 16-bit greys keep their upper 8 bits.

    Args:
        file: a path, encoded bytes or a binary file.
        at_least: decode a JPEG at a reduced scale of 1/2, 1/4 or 1/8 where both sides keep this many pixels.

    Returns:
        A `DecodedImage`.

    Raises:
        UnreadableImage: where the file is missing, no regular file, no image, broken, truncated or too large: above
            100 megapixels after the reduction, 65,535 pixels a side, or a bomb to Pillow (above 179 megapixels).
    """
    try:
        if isinstance(file, str | os.PathLike) and not stat.S_ISREG(os.stat(file).st_mode):
            # A pipe or a device may never end.
            raise UnreadableImage("not a regular file")
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            if image.format not in _FORMATS:
                raise UnreadableImage(f"{image.format} files are not read")
            size = image.size
            # What libjpeg keeps of a progressive file, whatever the scale: 2 bytes a coefficient.
            coefficients = 6 * image.width * image.height if image.info.get("progressive") else 0
            if at_least:
                image.draft(None, (at_least, at_least))
            _check_size(*image.size)
            pixels = image.width * image.height
            tags = getattr(image, "tag_v2", {})
            if tile := tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0):
                _check_size(tags[_TILE_WIDTH], tags[_TILE_LENGTH])
                pixels = max(pixels, tile)
            if coefficients and _scans(image.fp) > MAX_SCANS:
                raise UnreadableImage(f"it has more than {MAX_SCANS} scans")
            with _memory.taken(_BYTES.get(image.format, 16) * pixels + coefficients):
                upright = upright_rgb(image)
                _memory.take_for(upright, 4 * pixels)
            if _orientation(image) in (5, 6, 7, 8):
                size = size[::-1]
            return DecodedImage(upright, *size)
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage("not an image that Pillow can read") from None
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImage(" ".join(reason.split()) or type(error).__name__) from None


def upright_rgb(image):
    """A `PIL.Image` at hand as `decode_image` would give it."""
    image.load()  # what a PNG says of its orientation may come last
    # Not by `exif_transpose`, which writes all tags anew and so fails at one that is odd.
    turn = _TURNS.get(_orientation(image))
    # What is turned has no tags any more.
    turned = image if turn is None else image.transpose(turn)
    # One at hand, or a part of another, does not say what white is.
    if image.mode == "I" and image.format not in ("PNG", "PPM", "TIFF"):
        raise UnreadableImage(_NO_WHITE)
    return _rgb(turned, getattr(image, "tag_v2", {}))


def _orientation(image):
    """Its tag, 1 to 8; one that cannot be read turns nothing, as Pillow has it in a JPEG."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises whatever broken tags lead it to
        return 1
    return found if isinstance(found, int) else 1


def network_input(image, size, box=WHOLE, flip=False):
    """The one way to a model's input: a `PIL.Image`, its aspect not kept, resized once to uint8 (size, size, 3).

    Args:
        image: mode RGB.
        size: side in pixels.
        box: what is read of it: left, upper, right and lower, as shares of its sides.
        flip: mirror it left to right.
    """
    box = [share * side for share, side in zip(box, image.size * 2, strict=True)]
    view = image.resize((size, size), Image.Resampling.BILINEAR, box)
    # Pillow turns it ten times as fast as NumPy copies it backwards.
    return np.asarray(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else view)


class _Memory:
    """Bytes in use by decoded images, and how many are being decoded.

    Who asks waits only while another image is being decoded, which ends: what a caller keeps can stop nobody for good.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._held = 0
        self._decoding = 0

    @contextlib.contextmanager
    def taken(self, count):
        """Context in which an image is decoded in `count` bytes."""
        with self._changed:
            self._changed.wait_for(lambda: not self._decoding or self._held + count <= BUDGET)
            self._decoding += 1
            self._held += count
        try:
            yield
        finally:
            with self._changed:
                self._decoding -= 1
            self._give_back(count)

    def take_for(self, image, count):
        """Count `count` bytes until `image` is gone."""
        with self._changed:
            self._held += count
        weakref.finalize(image, self._give_back, count)

    def _give_back(self, count):
        with self._changed:
            self._held -= count
            self._changed.notify_all()


_memory = _Memory()


def _scans(file):
    """How many scans the open file of a JPEG has; within one their mark does not occur."""
    place, count, last = file.tell(), 0, b""
    file.seek(0)
    while data := file.read(2**20):
        count += (last + data).count(b"\xff\xda")
        last = data[-1:]
    file.seek(place)
    return count


def _check_size(width, height):
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UnreadableImage(
            f"{width} x {height} pixels are too many: at most {MAX_PIXELS // 10**6} megapixels and {MAX_SIDE} a side"
        )


def _rgb(image, tags):
    if image.mode == "F":
        raise UnreadableImage("its pixels are floats, and nothing says what black and white are: convert it to 8 bits")
    if image.mode in _SIXTEEN_BIT:
        image = _eight_bits(image, tags)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image, tags):
    """The upper 8 bits of a grey image of more, with alpha where a level is transparent; `tags` are those of a TIFF."""
    bits, sample_format = tags.get(_BITS, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0]
    if bits > 16 or sample_format != 1:
        raise UnreadableImage(_NO_WHITE)
    levels = np.asarray(image).astype("int32")
    grey = (levels >> bits - 8).clip(0, 255).astype("uint8")
    if tags.get(_PHOTOMETRIC) == 0:
        grey = 255 - grey
    if "transparency" not in image.info:
        return Image.fromarray(grey)
    opaque = levels != image.info["transparency"]
    return Image.fromarray(np.dstack([grey, 255 * opaque.astype("uint8")]))
