"""From a source of images to batches of views, by tf.data on the host, for every backend."""

import functools
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from clicv2_keras.data.augment import color_jitter, draw_factors
from clicv2_keras.data.host_calls import HostCalls
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.threads import share_cores
from clicv2_keras.utils.views import FACTORS, check_views, draw_crop, shortest_side


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
    share=(0, 1),
    on_unreadable=None,
):
    """Endless batches for `CLICv2.fit`; batch k is a function of `seed` and k alone.

    Neither threads, nor where it began, nor what could not be read before changes it. A JPEG is decoded at 1/2, 1/4 or
    1/8 of its scale where its crops keep the size of a view. What a view is stands in `clicv2_keras.utils.views`.

    Args:
        source: see `open_source`.
        image_size: side of the views in pixels.
        batch_size: images a batch.
        views: `"same_crop"`: both views are one crop and flip, each with a jitter of its own; `"two_crops"`: each view
            is its own crop.
        min_area: smallest area of a crop as a share of the image, in (0, 1]; 1 keeps the whole image.
        flip: mirror half of the crops left to right.
        jitter: strength of contrast, brightness and saturation jitter, 0 for none.
        seed: of order, crops and colours.
        start_step: the batch to begin with.
        share: (k, n): of each batch the k-th of n equal parts, for the k-th of n processes; n divides `batch_size`.
        on_unreadable: called once for each unreadable image with its name and the reason. The image after it in the
            source takes its place.

    Returns:
        `tf.data.Dataset` of dicts of uint8 (batch_size / n, image_size, image_size, 3): `image`, `view_a`, `view_b`;
        `image` is `view_a` without jitter.

    Raises:
        UserError: where no image of the source can be read.
        ValueError: where `views` is neither, or `min_area` out of its range.
    """
    check_views(views, min_area)
    import tensorflow as tf

    reader = _Reader(source, image_size, min_area, on_unreadable)
    reader.check()
    host = HostCalls.shared()
    crops = 1 if views == "same_crop" else 2
    count = batch_size // share[1]

    def read(number):
        images = np.empty((count, crops, image_size, image_size, 3), "uint8")
        factors = np.empty((count, 2, len(FACTORS)), "float32")

        def fill(i):
            epoch, place = divmod(int(number) * batch_size + share[0] * count + i, len(source))
            index = epoch_order(source, seed, epoch)[place]
            rng = np.random.default_rng((seed, epoch, index, 1))
            reader.crops(index, rng, flip, images[i])
            for view in factors[i]:
                view[:] = draw_factors(rng, jitter)

        # Whole batches, filled by threads of ours: a call of Python an image by tf.data costs half as much as decoding.
        list(threads.map(fill, range(count)))
        return images, factors

    def load(number):
        images, factors = tf.numpy_function(host.counted(read), [number], (tf.uint8, tf.float32), stateful=False)
        images.set_shape((count, crops, image_size, image_size, 3))
        factors.set_shape((count, 2, len(FACTORS)))
        return images, factors

    @tf.function(jit_compile=jitter > 0)
    def assemble(images, factors):
        views = {"image": images[:, 0], "view_a": images[:, 0], "view_b": images[:, -1]}
        if jitter:
            for i, name in enumerate(("view_a", "view_b")):
                views[name] = jitter_colors(views[name], factors[:, i])
        return views

    jitter_colors = color_jitter() if jitter else None
    threads = ThreadPoolExecutor(share_cores()[0])
    numbers = host.until_exit(tf.data.Dataset.counter(start_step))
    # Two batches at a time, so that the end of one leaves no core idle.
    batches = numbers.map(load, num_parallel_calls=2, deterministic=True)
    options = tf.data.Options()
    # Threads that wait for pixels must not be those that the training step needs.
    options.threading.private_threadpool_size = 3
    return batches.map(assemble, num_parallel_calls=1).prefetch(2).with_options(options)


def batch_indices(source, seed, step, batch_size):
    """The images of batch `step`, as numbers in the source; another may stand in for an unreadable one."""
    places = (divmod(number, len(source)) for number in range(step * batch_size, (step + 1) * batch_size))
    return [int(epoch_order(source, seed, epoch)[place]) for epoch, place in places]


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
        self._unreadable = set()
        self._lock = threading.Lock()

    def check(self):
        """Raise UserError now rather than search for ever later."""
        self._load(0, self.image_size)

    def _load(self, index, at_least):
        for number in range(index, index + len(self.source)):
            number %= len(self.source)
            # What failed before is tried again: that it failed must not change a later batch.
            try:
                return self.source.load(number, at_least)
            except UnreadableImage as error:
                self._report(number, str(error))
        first = self.source.name(0)
        raise UserError(f"{first} and all {len(self.source)} images with it are unreadable; name images that open")

    def _report(self, number, reason):
        # Two threads may meet it at the same time.
        with self._lock:
            if number not in self._unreadable:
                self._unreadable.add(number)
                if self.on_unreadable:
                    self.on_unreadable(self.source.name(number), reason)

    def crops(self, index, rng, flip, out):
        """Random resized crops of an image into `out`, uint8 (count, S, S, 3)."""
        draws = [draw_crop(rng, self.min_area, flip) for _ in out]
        # A JPEG may be decoded smaller as long as the crops keep the size of a view.
        image = self._load(index, math.ceil(self.image_size / shortest_side(box for box, _ in draws)))
        for crop, draw in zip(out, draws, strict=True):
            crop[:] = network_input(image, self.image_size, *draw)


@functools.lru_cache(maxsize=4)
def epoch_order(source, seed, epoch):
    """The numbers of a source's images in the order of an epoch: int (n,)."""
    rng = np.random.default_rng((seed, epoch, 0))
    # Records have an order that reads shard by shard.
    return source.order(rng) if hasattr(source, "order") else rng.permutation(len(source))
