"""From a source of images to batches of views, by tf.data on the host, for every backend."""

import functools
import math
import threading

import numpy as np
from PIL import Image

from clicv2_keras.data.augment import FACTORS, color_jitter, draw_factors
from clicv2_keras.data.host_calls import HostCalls
from clicv2_keras.errors import UserError
from clicv2_keras.images import UnreadableImage, network_input

ASPECT = 4 / 3
VIEWS = ("same_crop", "two_crops")


def training_dataset(
    source,
    *,
    image_size,
    batch_size,
    views="same_crop",
    min_area=0.2,
    flip=True,
    jitter=0.2,
    seed=0,
    start_step=0,
    on_unreadable=None,
):
    """Endless batches for `CLICv2.fit`; batch k is a function of `seed` and k alone.

    Args:
        source: see `open_source`.
        image_size: side of the views in pixels.
        batch_size: images a batch.
        views: `"same_crop"`: both views are one crop and flip, each with a jitter of its own; `"two_crops"`: each view
            is its own crop.
        min_area: smallest area of a crop as a share of the image.
        flip: flip half of the crops horizontally.
        jitter: strength of brightness, contrast and saturation jitter, 0 for none.
        seed: of order, crops and colours.
        start_step: the batch to begin with.
        on_unreadable: called once for each unreadable image with its name and the reason. The image after it in the
            source takes its place.

    Returns:
        `tf.data.Dataset` of dicts of uint8 (batch_size, image_size, image_size, 3): `image`, `view_a`, `view_b`;
        `image` is `view_a` without jitter.

    Raises:
        UserError: where no image of the source can be read.
        ValueError: where `views` is neither.
    """
    if views not in VIEWS:
        raise ValueError(f"views must be one of {', '.join(VIEWS)}, got {views!r}.")
    import tensorflow as tf

    reader = _Reader(source, image_size, min_area, on_unreadable)
    reader.check()
    host = HostCalls.shared()
    crops = 1 if views == "same_crop" else 2

    def sample(number):
        epoch, place = divmod(int(number), len(source))
        index = _order(len(source), seed, epoch)[place]
        rng = np.random.default_rng((seed, epoch, index, 1))
        images = reader.crops(index, rng, crops, flip)
        return images, np.stack([draw_factors(rng, jitter) for _ in range(2)])

    def load(number):
        images, factors = tf.numpy_function(host.counted(sample), [number], (tf.uint8, tf.float32), stateful=False)
        images.set_shape((crops, image_size, image_size, 3))
        factors.set_shape((2, FACTORS))
        return images, factors

    def assemble(images, factors):
        views = {"image": images[:, 0], "view_a": images[:, 0], "view_b": images[:, -1]}
        if jitter:
            for i, name in enumerate(("view_a", "view_b")):
                views[name] = jitter_colors(tf.cast(views[name], tf.float32), factors[:, i])
        return views

    jitter_colors = color_jitter() if jitter else None
    numbers = host.until_exit(tf.data.Dataset.counter(start_step * batch_size))
    samples = numbers.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = samples.batch(batch_size, drop_remainder=True)
    return batches.map(assemble, num_parallel_calls=1).prefetch(2)


def batch_indices(count, seed, step, batch_size):
    """The images of batch `step`, as numbers in a source of `count`; another may stand in for an unreadable one."""
    numbers = range(step * batch_size, (step + 1) * batch_size)
    return [int(_order(count, seed, number // count)[number % count]) for number in numbers]


def load_images(source, indices, image_size):
    """Whole images at `image_size` x `image_size`, aspect not kept: uint8 (n, image_size, image_size, 3).

    Raises:
        UnreadableImage: naming the image.
    """

    def load(index):
        try:
            image = source.load(index, at_least=2 * image_size)
        except UnreadableImage as error:
            raise UnreadableImage(f"{source.name(index)}: {error}") from None
        return network_input(image, image_size)

    return np.stack([load(index) for index in indices])


class _Reader:
    """Reads random crops, passing over what cannot be read."""

    def __init__(self, source, image_size, min_area, on_unreadable):
        self.source = source
        self.image_size = image_size
        self.min_area = min_area
        self.on_unreadable = on_unreadable
        # A JPEG may be decoded smaller as long as the smallest crop keeps the size of a view.
        self.at_least = math.ceil(image_size / math.sqrt(min_area))
        self.unreadable = set()
        self._lock = threading.Lock()

    def check(self):
        """Raise UserError now rather than search for ever later."""
        self._load(0)

    def _load(self, index):
        for number in range(index, index + len(self.source)):
            number %= len(self.source)
            if number in self.unreadable:
                continue
            try:
                return self.source.load(number, self.at_least)
            except UnreadableImage as error:
                self._report(number, str(error))
        first = self.source.name(0)
        raise UserError(f"{first} and all {len(self.source)} images with it are unreadable; name images that open")

    def _report(self, number, reason):
        # Two threads may meet it at the same time.
        with self._lock:
            if number not in self.unreadable:
                self.unreadable.add(number)
                if self.on_unreadable:
                    self.on_unreadable(self.source.name(number), reason)

    def crops(self, index, rng, count, flip):
        """`count` random resized crops of an image: uint8 (count, S, S, 3)."""
        image = self._load(index)
        size = (self.image_size, self.image_size)
        crops = []
        for _ in range(count):
            crop = image.resize(size, Image.Resampling.BILINEAR, box=_box(image.size, rng, self.min_area))
            flipped = flip and rng.random() < 0.5
            crops.append(np.asarray(crop)[:, ::-1] if flipped else np.asarray(crop))
        return np.stack(crops)


def _box(size, rng, min_area):
    """A random part of an image of `size`: area uniform in [min_area, 1], aspect ratio up to 4/3 of the image's own.

    Of the image's own because whole images are scored with their aspect not kept.
    """
    width, height = size
    area = rng.uniform(min_area, 1) * width * height
    aspect = math.exp(rng.uniform(-1, 1) * math.log(ASPECT)) * width / height
    across, down = min(math.sqrt(area * aspect), width), min(math.sqrt(area / aspect), height)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    return left, top, left + across, top + down


@functools.lru_cache(maxsize=4)
def _order(count, seed, epoch):
    return np.random.default_rng((seed, epoch, 0)).permutation(count)
