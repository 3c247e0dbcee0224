"""From a source of images to batches of views, by tf.data on the host, for every backend."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from clicv2_keras.data.augment import color_jitter, draw_factors
from clicv2_keras.data.crops import CropReader
from clicv2_keras.data.host_calls import HostCalls
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.threads import share_cores
from clicv2_keras.utils.views import FACTORS, LIKE_THE_WHOLE, check_views, draw_crop


def training_dataset(
    source,
    *,
    image_size,
    batch_size,
    views="same_crop",
    min_area=0.2,
    flip=True,
    jitter=0.2,
    grey=0.0,
    seed=0,
    start_step=0,
    share=(0, 1),
    on_unreadable=None,
    on_failure=None,
    brought=None,
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
        grey: share of the two views that lose their colour.
        seed: of order, crops and colours.
        start_step: the batch to begin with.
        share: (k, n): of each batch the k-th of n equal parts, for the k-th of n processes; n divides `batch_size`.
        on_unreadable: called once for each unreadable image with its name and the reason. The image after it in the
            source takes its place.
        on_failure: called with the reason where no batch can be filled any more: what tf.data raises then has another
            type.
        brought: what a guide knows of the images beforehand: an object with `parts`, shape and type by a batch's key,
            and `read(number, epoch, image)`, their values of the image of that number as it is in the batch, uint8
            (S, S, 3). Its `draw(number, epoch)`, where it is not None, says what crop that is.

    Returns:
        `tf.data.Dataset` of dicts of uint8 (batch_size / n, image_size, image_size, 3): `image`, `view_a`, `view_b`;
        `image` is `view_a` without jitter; and the parts of `brought`.

    Raises:
        UserError: where no image of the source can be read.
        ValueError: where `views` is neither, or `min_area` out of its range.
    """
    check_views(views, min_area)
    import tensorflow as tf

    reader = CropReader(source, image_size, on_unreadable)
    crops = 1 if views == "same_crop" else 2
    parts = {
        "crops": ((crops, image_size, image_size, 3), "uint8"),
        "factors": ((2, len(FACTORS)), "float32"),
        **(brought.parts if brought else {}),
    }

    def read(index, epoch, rng):
        draws = [draw_crop(rng, min_area, flip) for _ in range(crops)]
        factors = [draw_factors(rng, jitter, grey) for _ in range(2)]

        def drawn(number):
            return [brought.draw(number, epoch), *draws[1:]] if brought and brought.draw else draws

        number, images = reader.crops(index, drawn)
        return images, factors, *(brought.read(number, epoch, images[0]) if brought else ())

    recolored = jitter > 0 or grey > 0

    @tf.function(jit_compile=recolored)
    def assemble(batch):
        images = batch["crops"]
        views = {"image": images[:, 0], "view_a": images[:, 0], "view_b": images[:, -1]}
        if recolored:
            for i, name in enumerate(("view_a", "view_b")):
                views[name] = jitter_colors(views[name], batch["factors"][:, i])
        return views | {name: batch[name] for name in (brought.parts if brought else ())}

    jitter_colors = color_jitter() if recolored else None
    batches = _batches(reader, read, parts, batch_size, seed, start_step, share, on_failure)
    return batches.map(assemble, num_parallel_calls=1).prefetch(2)


def labelled_dataset(
    source,
    scores,
    groups,
    *,
    image_size,
    batch_size,
    seed=0,
    start_step=0,
    share=(0, 1),
    on_unreadable=None,
    on_failure=None,
):
    """Endless batches of images with labels, two crops of each that a person would find as complex as the whole.

    Crops are read at as much detail as a whole image that is scored. Of the other arguments see `training_dataset`.

    Args:
        source: see `open_source`.
        scores: float (n,), the images' labels in [0, 1].
        groups: int (n,), numbers of the groups of images whose scores may be compared.

    Returns:
        `tf.data.Dataset` of dicts: `crops`, uint8 (B, 2, image_size, image_size, 3), `score`, float32 (B,), and
        `group`, int32 (B,).
    """
    reader = CropReader(source, image_size, on_unreadable)
    parts = {
        "crops": ((2, image_size, image_size, 3), "uint8"),
        "score": ((), "float32"),
        "group": ((), "int32"),
    }

    def read(index, epoch, rng):
        draws = [draw_crop(rng, LIKE_THE_WHOLE, flip=True) for _ in range(2)]
        number, images = reader.crops(index, lambda number: draws, detail=2)
        # The label is that of the image that was read in the end.
        return images, scores[number], groups[number]

    return _batches(reader, read, parts, batch_size, seed, start_step, share, on_failure).prefetch(2)


def _batches(reader, read, parts, batch_size, seed, start_step, share, on_failure):
    """Endless batches of what `read(index, epoch, rng)` gives of an image: dicts of `parts`, shape and type each."""
    import tensorflow as tf

    reader.check()
    source, host, count = reader.source, HostCalls.shared(), batch_size // share[1]
    threads = ThreadPoolExecutor(share_cores()[0])

    def fill(number):
        arrays = [np.empty((count, *shape), dtype) for shape, dtype in parts.values()]

        def one(i):
            epoch, place = divmod(int(number) * batch_size + share[0] * count + i, len(source))
            index = epoch_order(source, seed, epoch)[place]
            values = read(index, epoch, np.random.default_rng((seed, epoch, index, 1)))
            for array, value in zip(arrays, values, strict=True):
                array[i] = value

        # Whole batches, filled by threads of ours: a call of Python an image by tf.data costs half as much as decoding.
        try:
            list(threads.map(one, range(count)))
        except UserError as error:
            if on_failure:
                on_failure(str(error))
            raise
        return arrays

    def load(number):
        types = [tf.as_dtype(dtype) for _, dtype in parts.values()]
        arrays = tf.numpy_function(host.counted(fill), [number], types, stateful=False)
        for array, (shape, _) in zip(arrays, parts.values(), strict=True):
            array.set_shape((count, *shape))
        return dict(zip(parts, arrays, strict=True))

    numbers = host.until_exit(tf.data.Dataset.counter(start_step))
    options = tf.data.Options()
    # Threads that wait for pixels must not be those that the training step needs.
    options.threading.private_threadpool_size = 3
    # Two batches at a time, so that the end of one leaves no core idle.
    return numbers.map(load, num_parallel_calls=2, deterministic=True).with_options(options)


def batch_indices(source, seed, step, batch_size):
    """The images of batch `step`, as numbers in the source; another may stand in for an unreadable one."""
    places = (divmod(number, len(source)) for number in range(step * batch_size, (step + 1) * batch_size))
    return [int(epoch_order(source, seed, epoch)[place]) for epoch, place in places]


@functools.lru_cache(maxsize=4)
def epoch_order(source, seed, epoch):
    """The numbers of a source's images in the order of an epoch: int (n,)."""
    rng = np.random.default_rng((seed, epoch, 0))
    # Records have an order that reads shard by shard.
    return source.order(rng) if hasattr(source, "order") else rng.permutation(len(source))
