import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from clicv2_keras.utils.images import UnreadableImage, open_with_size

QUALITY = 90


class EncodedImage(NamedTuple):
    """An image as it is packed: its `data`, and the `ending` of its name; or the `reason` why it cannot be."""

    data: bytes | None = None
    ending: str | None = None
    reason: str | None = None


def encode(path, side=None):
    """An image file as it is packed.

    Args:
        path: the file.
        side: where the image's shorter side is longer, it becomes a JPEG of that shorter side; else the file's own
            bytes are kept.
    """
    try:
        # Without a side the pixels are read only to see that they can be: at the smallest scale.
        image, size = open_with_size(path, at_least=2 * side if side else 1)
        if side and min(size) > side:
            return EncodedImage(_shrunk(image, size, side), "jpg")
        data = Path(path).read_bytes()
    except UnreadableImage as error:
        return EncodedImage(reason=str(error))
    except OSError as error:
        return EncodedImage(reason=error.strerror)
    with Image.open(io.BytesIO(data)) as image:
        ending = image.format.lower()
    return EncodedImage(data, {"jpeg": "jpg", "mpo": "jpg"}.get(ending, ending))


def _shrunk(image, size, side):
    target = [max(side, round(edge * side / min(size))) for edge in size]
    stream = io.BytesIO()
    # Of Pillow's filters the one that keeps most detail: the crops of a run are resized once more.
    image.resize(target, Image.Resampling.LANCZOS).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
