import keras
import numpy as np
from keras import ops

from clicv2_keras.layers.pixels import check_shape, check_uint8
from clicv2_keras.layers.replicas import draw_local
from clicv2_keras.layers.seeded_layer import SeededLayer
from clicv2_keras.recipe.shapes import COPIES
from clicv2_keras.utils.views import triangle_filter

# Of the blur, in pixels; levels a channel after posterising; by what the detail that `scale` leaves out is smaller.
SIGMA, LEVELS, FACTOR = 2.0, 4, 4


@keras.saving.register_keras_serializable(package="clicv2_keras")
class OtherComplexity(SeededLayer):
    """Copies of images with the same content at another complexity.

    As image quality assessment makes its negatives (arXiv 2304.00451, 2303.00521, 2310.14918). An image is made simpler
    by `blur` (Gaussian, σ of 2 pixels), `posterize` (4 levels a channel) or `scale` (to a quarter of its side and back,
    by the triangle filter); `tile` (its half, four times) makes it more complex. That tiles count as more complex is
    this project's reading: they hold four times as many things, though no more that is new.

    Args:
        kinds: of these, one drawn for each image.
        seed: int, for the draws.

    Call arguments:
        images: uint8 (B, S, S, 3).
        kind: optional int (B,), numbers in `kinds` to use in place of drawn ones.

    Returns:
        uint8 (B, S, S, 3), and float32 (B,): 1 where the copy is simpler than its image, -1 where it is more complex.

    Raises:
        ValueError: where a kind is none of these, or the images are not uint8 squares.
    """

    def __init__(self, kinds=tuple(COPIES), seed=None, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(seed, **kwargs)
        self.kinds = tuple(kinds)
        if not self.kinds or set(self.kinds) - set(COPIES):
            raise ValueError(f"kinds must be some of {', '.join(COPIES)}, got {kinds!r}.")
        self.built = True  # it has no weights

    def call(self, images, kind=None):
        check_shape(images, images.shape[1])
        check_uint8(images)
        if kind is None:
            kind = draw_local(self._draw, ops.shape(images)[0])
        side = images.shape[1]
        # Blurring, scaling and tiling are one matrix for rows and columns alike; posterising leaves pixels in place.
        filters = ops.take(ops.convert_to_tensor(np.stack([_matrix(name, side) for name in self.kinds])), kind, axis=0)
        steps = np.array([LEVELS - 1 if name == "posterize" else 255 for name in self.kinds], "float32")
        step = 255 / ops.take(ops.convert_to_tensor(steps), kind)[:, None, None, None]
        pixels = ops.einsum("byh,bhwc->bywc", filters, ops.cast(images, "float32"))
        pixels = ops.einsum("bxw,bywc->byxc", filters, pixels)
        # Halves upwards, on every backend.
        copies = ops.floor(ops.floor(pixels / step + 0.5) * step + 0.5)
        signs = ops.convert_to_tensor(np.array([COPIES[name] for name in self.kinds], "float32"))
        return ops.cast(ops.clip(copies, 0.0, 255.0), "uint8"), ops.take(signs, kind)

    def _draw(self, rows):
        return keras.random.randint((rows,), 0, len(self.kinds), seed=self.seed_generator)

    def get_config(self):
        return {**super().get_config(), "kinds": self.kinds}


def _matrix(kind, side):
    """What a kind does to the pixels of a row or column: float32 (side, side), rows of sum 1."""
    if kind == "posterize":
        found = np.eye(side)
    elif kind == "blur":
        place = np.arange(side)
        found = np.exp(-((place[:, None] - place) ** 2) / (2 * SIGMA**2))
    elif kind == "scale":
        small = -(-side // FACTOR)
        found = _resize(small, side) @ _resize(side, small)
    else:
        half = _resize(side, -(-side // 2))
        found = np.concatenate([half, half])[:side]
    return (found / found.sum(axis=1, keepdims=True)).astype("float32")


def _resize(length, size):
    step = length / size
    return triangle_filter((np.arange(size) + 0.5) * step - 0.5, step, length)
