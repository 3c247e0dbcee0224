"""How fast this device multiplies matrices. Import only once the backend is chosen."""

import functools
import time

import keras
import numpy as np

SECONDS = 0.5
# More tokens tell no more: a product of this size takes a CPU a tenth of a second, and a GPU longer than its launch.
MOST_FLOPS = 8e9


@functools.cache
def product_rate(tokens, width, precision):
    """FLOPs a second (2 a multiply-add) of the products that an encoder's MLP consists of, measured for half a second.

    Args:
        tokens: of a whole batch.
        width: features of a token.
        precision: `"float32"` or `"bfloat16"`.
    """
    rows = max(min(tokens, int(MOST_FLOPS / (8 * width**2))), 1)
    rng = np.random.default_rng(0)
    left, right = (
        keras.ops.cast(rng.standard_normal(shape, "float32"), precision)
        for shape in ((rows, width), (width, 4 * width))
    )

    def seconds(count):
        start = time.perf_counter()
        for _ in range(count):
            product = keras.ops.matmul(left, right)
        # A GPU works behind the back of Python: only a number that is here says that it is done.
        keras.ops.convert_to_numpy(keras.ops.cast(product[0, 0], "float32"))
        return time.perf_counter() - start

    seconds(1)  # loads kernels
    count = 1
    while (spent := seconds(count)) < SECONDS / 2:
        count *= 2
    return 8 * rows * width**2 * count / spent
