import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, overload

import numpy as np
from PIL import Image

from clicv2_keras.deployment.scoring.network import Network
from clicv2_keras.utils.images import DecodedImage, UnreadableImage, decode_image, network_input, upright_rgb
from clicv2_keras.utils.paths import StrPath

if TYPE_CHECKING:
    from clicv2_keras.deployment.scoring.many import Scores

# One image, as callers give it; an array may be one or several.
OneImage = StrPath | bytes | bytearray | memoryview | BinaryIO | Image.Image


class Score(NamedTuple):
    """What a model says of one image.

    Attributes:
        score: complexity in [0, 1], the mean of `map`.
        map: float32 (h, w) in [0, 1]: cell (i, j) is about the pixels of the upright image from i H / h to
            (i + 1) H / h, j W / w to (j + 1) W / w.
        embedding: float32 (D,).
        width, height: of the whole image upright, in pixels.
    """

    score: float
    map: np.ndarray
    embedding: np.ndarray
    width: int
    height: int


class Picture(NamedTuple):
    """A decoded image: RGB, upright, perhaps reduced; `width` and `height` are those before the reduction.

    `pixels` is the network's input, uint8 (S, S, 3).
    """

    image: Image.Image
    pixels: np.ndarray
    width: int
    height: int


class Scorer:
    """Scores images through LiteRT, without keras and TensorFlow. Several threads may share one.

    ```python
    scorer = Scorer()
    scorer.score("photo.jpg").score                   # float in [0, 1]
    [s.score for s in scorer.score(frames)]           # uint8 (n, H, W, 3)
    ```

    Args:
        path: a `.tflite` file of `clicv2-keras export`, or the name of a trained preset.
        threads: that the network computes with.

    Attributes:
        image_size: side in pixels of the square that every image is resized to, its aspect not kept.
        embedding_dim: D, how many numbers an embedding has.
        metadata: dict of the model file: `name`, `resize`, `score_range`, `label_range`, `quantize`, …
        identity: the model's name and the first digits of its file's checksum.

    Raises:
        UserError: where there is no such model, or it is broken.
    """

    def __init__(self, path: StrPath = "default", threads: int = 1) -> None:
        self._network = Network(path, threads)
        self.image_size: int = self._network.image_size
        self.embedding_dim: int = self._network.embedding_dim
        self.metadata: dict[str, Any] = self._network.metadata
        self.identity = f"{self.metadata['name']} {self.metadata['sha256'][:12]}"

    @overload
    def score(self, images: OneImage) -> Score: ...  # type: ignore[overload-overlap]  # a str is a series of str too

    @overload
    def score(self, images: np.ndarray) -> Any: ...

    @overload
    def score(self, images: Iterable[OneImage | np.ndarray]) -> list[Score]: ...

    def score(self, images: Any) -> Any:
        """Score one image or several.

        Args:
            images: a path, encoded bytes, a binary file, a `PIL.Image`, or a uint8 array of (H, W, 3) RGB or (H, W)
                grey; or several: an array (B, H, W, 3), or an iterable of any of these.

        Returns:
            A `Score`, or for several a list of them.

        Raises:
            UnreadableImage: where an image is missing or broken. `clicv2_keras.score` goes on in that case.
            ValueError: where an array is not uint8 or of another shape.
            TypeError: where something is no image at all.
        """
        if isinstance(images, np.ndarray):
            return [self.run(self.read(image)) for image in images] if images.ndim == 4 else self.run(self.read(images))
        single = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image)
        if single or hasattr(images, "read") or not isinstance(images, Iterable):
            return self.run(self.read(images))
        return [self.run(self.read(image)) for image in images]

    def score_many(self, images: Iterable[OneImage | np.ndarray], workers: int | None = None) -> "Scores":
        """Score images that may be broken, several at a time.

        Args:
            images: a list, an array (B, H, W, 3), or an iterable, of what `score` takes.
            workers: images in work at a time; one a core by default.

        Returns:
            `Scores`: a list of `Row`, an image that cannot be read with its `error`; `.values` are the scores as an
            array, `.to_frame()` gives a pandas `DataFrame`.

        Raises:
            ValueError, TypeError: as `score` does, of what is no image at all.
        """
        from clicv2_keras.deployment.scoring.many import score_many

        return score_many(self, images, workers)

    def read(self, image: OneImage | np.ndarray) -> Picture:
        """One image, as `score` takes it, decoded; a JPEG at no more of its scale than is needed."""
        if isinstance(image, np.ndarray):
            rgb = _of_array(image)
            return _picture(DecodedImage(rgb, *rgb.size), self.image_size)
        if isinstance(image, Image.Image):
            try:
                upright = upright_rgb(image)
            except UnreadableImage:
                raise
            except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
                raise UnreadableImage(str(error)) from None
            return _picture(DecodedImage(upright, *upright.size), self.image_size)
        if isinstance(image, bytearray | memoryview):
            image = bytes(image)
        if not (isinstance(image, str | os.PathLike | bytes) or hasattr(image, "read")):
            raise TypeError(f"an image is a path, bytes, a PIL.Image or a uint8 array, not {type(image).__name__}")
        return read_picture(image, self.image_size)

    def run(self, picture: Picture) -> Score:
        """The `Score` of a `Picture`."""
        out = self._network(picture.pixels)
        return Score(float(out["score"][0]), out["map"][0], out["embedding"][0], picture.width, picture.height)


def read_picture(source, image_size):
    """The `Picture` of a path, encoded bytes or a binary file, for a network whose input has sides of `image_size`.

    Raises:
        UnreadableImage: see `decode_image`.
    """
    # Twice the input's side: the score then moves by less than .005.
    return _picture(decode_image(source, at_least=2 * image_size), image_size)


def _picture(decoded, image_size):
    return Picture(decoded.image, network_input(decoded.image, image_size), decoded.width, decoded.height)


def _of_array(array):
    if array.dtype != np.uint8:
        how = (
            "(255 * array).round().astype('uint8') if it lies in [0, 1]"
            if array.dtype.kind == "f"
            else "astype('uint8')"
        )
        raise ValueError(f"an array of images is uint8 with values 0 to 255, not {array.dtype}: convert it, by {how}")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or 0 in array.shape:
        raise ValueError(f"an image's array is (H, W, 3) or (H, W), several are (B, H, W, 3), not {array.shape}")
    return Image.fromarray(array).convert("RGB")
