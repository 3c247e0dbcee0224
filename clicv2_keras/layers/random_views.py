import keras
from keras import ops

from clicv2_keras.layers.pixels import check_shape, check_uint8
from clicv2_keras.layers.replicas import draw_local
from clicv2_keras.layers.seeded_layer import SeededLayer
from clicv2_keras.utils.views import (
    FACTORS,
    SATURATION,
    check_views,
    crop_box,
    factor_range,
    jitter_colors,
    triangle_filter,
)


@keras.saving.register_keras_serializable(package="clicv2_keras")
class RandomViews(SeededLayer):
    """Crop, flip and jitter a batch of images into the two views of the contrastive task.

    For images that come as arrays; the tf.data pipeline (`clicv2_keras.data`) does the same on the host. What a view is
    stands in `clicv2_keras.utils.views`, for both.

    Args:
        image_size: side of the views in pixels.
        views: `"same_crop"`: both views are one crop and flip, as shifted patchify needs them; `"two_crops"`: each
            view has its own, as in MoCo v3.
        min_area: smallest area of a crop as a share of the image, in (0, 1]; 1 keeps the whole image.
        flip: mirror half of the crops left to right.
        jitter: in [0, 1], strength of contrast, brightness and saturation jitter: factors in [1 - jitter, 1 + jitter].
        grey: share of the two views that lose their colour, in [0, 1].
        seed: int, for the draws.

    Call arguments:
        images: uint8 (B, H, W, 3).
        draws: what decides the views, as `draw` returns it; None draws anew.

    Returns:
        dict of uint8 (B, image_size, image_size, 3): `image`, the crop without jitter, `view_a` and `view_b`.

    Raises:
        ValueError: where `views` is neither, `min_area` out of its range, or the images of another type or shape.
    """

    def __init__(
        self, image_size=224, views="same_crop", min_area=0.2, flip=True, jitter=0.2, grey=0.0, seed=None, **kwargs
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(seed, **kwargs)
        check_views(views, min_area)
        self.image_size = image_size
        self.views = views
        self.min_area = min_area
        self.flip = flip
        self.jitter = jitter
        self.grey = grey
        self.built = True  # it has no weights

    def call(self, images, draws=None):
        check_shape(images)
        check_uint8(images)
        images = ops.cast(images, "float32")
        if draws is None:
            draws = self.draw(ops.shape(images)[0])
        crops = [self.crop(images, draws["box"][:, i], draws["flip"][:, i]) for i in range(draws["box"].shape[1])]
        views = {"image": crops[0]}
        for i, name in enumerate(("view_a", "view_b")):
            views[name] = jitter_colors(crops[i % len(crops)], draws["factors"][:, i], ops)
        return {name: ops.cast(view, "uint8") for name, view in views.items()}

    def draw(self, batch):
        """Draw what decides the views of `batch` images.

        Returns:
            dict: `box` (B, V, 4), the part of the image that each of V crops reads, left, upper, right and lower as
            shares of its sides; bool `flip` (B, V); `factors` (B, 2, 3), of brightness, contrast and saturation of each
            view. V is 1 where both views are one crop, else 2.
        """
        crops = 1 if self.views == "same_crop" else 2
        numbers = self._uniform(batch, (crops, 5))
        factors = self._uniform(batch, (2, len(FACTORS)), *factor_range(self.jitter))
        # Nothing is drawn where none is grey: the views of a seed stay what they were.
        if self.grey:
            colored = ops.cast(self._uniform(batch, (2, 1)) >= self.grey, "float32")
            saturation = ops.one_hot(SATURATION, len(FACTORS), dtype="float32")
            factors = factors * (1 - saturation * (1 - colored))
        return {
            "box": crop_box(numbers[..., :4], self.min_area, ops),
            "flip": ops.logical_and(numbers[..., 4] < 0.5, self.flip),
            "factors": factors,
        }

    def crop(self, images, box, flip):
        """A part `box` (B, 4) of each image, float (B, H, W, 3), mirrored where `flip` (B,): whole numbers, float."""
        height, width = ops.shape(images)[1:3]
        columns = self._resize_matrix(width, box[:, 0], box[:, 2], flip)
        rows = self._resize_matrix(height, box[:, 1], box[:, 3])
        narrow = _round(ops.einsum("bhwc,bxw->bhxc", images, columns))
        return _round(ops.einsum("byh,bhxc->byxc", rows, narrow))

    def _resize_matrix(self, length, low, high, flip=None):
        """(B, image_size, length): the weights by which each output pixel reads the part `low` to `high` of a side."""
        # TensorFlow has it as a tensor where it does not know the size before.
        side = ops.cast(length, "float32")
        start, window = low * side, (high - low) * side
        center = ops.arange(self.image_size, dtype="float32") + 0.5
        if flip is not None:
            center = ops.where(flip[:, None], self.image_size - center, center)
        step = window / self.image_size
        position = start[:, None] + center * step[:, None] - 0.5
        return triangle_filter(position, step[:, None, None], length, ops)

    def _uniform(self, batch, shape, low=0.0, high=1.0):
        def draw(rows):
            return keras.random.uniform((rows, *shape), low, high, dtype="float32", seed=self.seed_generator)

        return draw_local(draw, batch)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "views": self.views,
            "min_area": self.min_area,
            "flip": self.flip,
            "jitter": self.jitter,
            "grey": self.grey,
        }


def _round(pixels):
    """Halves upwards, as Pillow."""
    return ops.floor(pixels + 0.5)
