import keras
from keras import ops

from clicv2_keras.layers.pixels import check_shape, check_uint8
from clicv2_keras.layers.replicas import own_rows
from clicv2_keras.layers.seeded_layer import SeededLayer

VIEWS = ("same_crop", "two_crops")
LUMA = (0.299, 0.587, 0.114)


@keras.saving.register_keras_serializable(package="clicv2_keras")
class RandomViews(SeededLayer):
    """Crop, flip and jitter a batch of images into the two views of the contrastive task.

    For images that come as arrays; the tf.data pipeline (`clicv2_keras.data`) does the same on the host. No blur and
    no noise: both change the very thing that is to be learnt.

    Args:
        image_size: side of the views in pixels.
        views: `"same_crop"`: both views are one crop and flip, as shifted patchify needs them; `"two_crops"`: each
            view has its own, as in MoCo v3.
        min_area: smallest area of a crop, as a share of the image; 1 keeps the whole image.
        flip: flip half of the crops horizontally.
        jitter: strength of the colour jitter: brightness, contrast and saturation change by a factor in
            [1 - jitter, 1 + jitter].
        seed: int, for the draws.

    Call arguments:
        images: uint8 (B, H, W, 3).

    Returns:
        dict of uint8 (B, image_size, image_size, 3): `image`, the crop without jitter, `view_a` and `view_b`.

    Raises:
        ValueError: where the images are of another type or shape.
    """

    def __init__(self, image_size=224, views="same_crop", min_area=0.2, flip=True, jitter=0.2, seed=None, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(seed, **kwargs)
        if views not in VIEWS:
            raise ValueError(f"views must be one of {', '.join(VIEWS)}, got {views!r}.")
        if not 0 < min_area <= 1:
            raise ValueError(f"min_area must be above 0 and at most 1, got {min_area}.")
        self.image_size = image_size
        self.views = views
        self.min_area = min_area
        self.flip = flip
        self.jitter = jitter

    def build(self, input_shape=None):
        self.built = True

    def call(self, images):
        check_shape(images)
        check_uint8(images)
        images = ops.cast(images, "float32")
        crop_a = self.crop(images)
        crop_b = crop_a if self.views == "same_crop" else self.crop(images)
        views = {"image": crop_a, "view_a": self.color(crop_a), "view_b": self.color(crop_b)}
        return {name: ops.cast(ops.clip(ops.round(view), 0, 255), "uint8") for name, view in views.items()}

    def crop(self, images):
        """A random resized crop and flip of each image, in one bilinear reading."""
        batch, height, width = ops.shape(images)[:3]
        area = self._draw(batch, self.min_area, 1.0)
        # A crop of share `area` has a side of share sqrt(area · aspect), so the whole image allows aspect 1 only.
        spread = ops.minimum(ops.log(1.0 / area), ops.log(4.0 / 3.0))
        aspect = ops.exp(self._draw(batch, -1.0, 1.0) * spread)
        rows = self._resize_matrix(height, ops.sqrt(area * aspect), flip=False)
        columns = self._resize_matrix(width, ops.sqrt(area / aspect), flip=self.flip)
        return ops.einsum("byh,bhwc,bxw->byxc", rows, images, columns)

    def _resize_matrix(self, length, share, flip):
        """(B, image_size, length): the weights by which each output pixel reads a random window of `length` pixels."""
        batch = ops.shape(share)[0]
        window = share * length
        start = self._draw(batch, 0.0, 1.0) * (length - window)
        center = (ops.arange(self.image_size, dtype="float32") + 0.5) / self.image_size
        if flip:
            mirrored = ops.cast(self._draw(batch, 0.0, 1.0) < 0.5, "float32")[:, None]
            center = mirrored * (1.0 - center) + (1.0 - mirrored) * center
        position = start[:, None] + center * window[:, None] - 0.5
        position = ops.clip(position, 0, length - 1)
        # The triangle filter, widened when it shrinks, as Pillow's BILINEAR.
        reach = ops.maximum(window / self.image_size, 1.0)[:, None, None]
        distance = ops.abs(position[..., None] - ops.arange(length, dtype="float32"))
        weights = ops.maximum(1.0 - distance / reach, 0.0)
        return weights / ops.sum(weights, axis=-1, keepdims=True)

    def color(self, images):
        """Mild brightness, contrast and saturation jitter, drawn for each image."""
        batch = ops.shape(images)[0]

        def factor():
            return self._draw(batch, 1.0 - self.jitter, 1.0 + self.jitter)[:, None, None, None]

        def blend(images, base):
            return base + factor() * (images - base)

        def gray(images):
            return ops.sum(images * ops.convert_to_tensor(LUMA, "float32"), axis=-1, keepdims=True)

        images = images * factor()
        images = blend(images, ops.mean(gray(images), axis=(1, 2, 3), keepdims=True))
        return blend(images, gray(images))

    def _draw(self, batch, low, high):
        def draw(rows):
            return keras.random.uniform((rows,), low, high, dtype="float32", seed=self.seed_generator)

        return own_rows(draw, batch)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "views": self.views,
            "min_area": self.min_area,
            "flip": self.flip,
            "jitter": self.jitter,
        }


def two_crops(image_size, seed=None):
    """`RandomViews` whose two views are crops, mirrored or not, that a person would find as complex as the whole."""
    return RandomViews(image_size, views="two_crops", min_area=0.8, jitter=0.0, seed=seed)
