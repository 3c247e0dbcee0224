import zlib

import numpy as np

from clicv2_keras.utils.errors import UserError

# scikit-learn takes none above.
HIGHEST = 2**32 - 1


def check_seed(seed):
    """Raise a `UserError` where no generator takes a seed."""
    if not 0 <= seed <= HIGHEST:
        raise UserError(f"--seed {seed}: take a whole number from 0 to {HIGHEST}")


def seed_for(seed, consumer):
    """The seed of one consumer of random numbers: a stream of its own, however many others are given the same seed.

    Streams of neighbouring seeds are as unlike as any: PyTorch under Keras adds its count of draws to the seed, so that
    `seed` and `seed + 1` would be one stream, a draw apart.

    Args:
        seed: int from 0 on, or None.
        consumer: its name, such as a layer's class.

    Returns:
        int from 0 to 2**31 - 1, or None for None: a random seed.
    """
    if seed is None:
        return None
    name = zlib.crc32(consumer.encode())
    # 31 bits: PyTorch's seeds are signed.
    return int(np.random.SeedSequence(seed, spawn_key=(name,)).generate_state(1)[0] >> 1)
