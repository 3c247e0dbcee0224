"""The images on which an export is calibrated and compared."""

import numpy as np

from clicv2_keras.data.file_source import FileSource
from clicv2_keras.data.procedural_source import ProceduralSource
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input

COMPARED, CALIBRATED = 200, 100
UNSEEN_SEED = 2**31 - 4


def read_images(path, size):
    """Up to 300 images at a model's size: uint8 (n, S, S, 3), and their names.

    Args:
        path: a folder; an evenly spaced choice of its images is taken. None draws procedural images.
        size: S.

    Raises:
        UserError: where fewer than 200 images can be read.
    """
    wanted = COMPARED + CALIBRATED
    source = ProceduralSource(wanted, size, UNSEEN_SEED) if path is None else FileSource.from_folder(path)
    step = max(len(source) // wanted, 1)
    images, names = [], []
    for i in range(0, len(source), step):
        if len(images) == wanted:
            break
        try:
            images.append(network_input(source.load(i, at_least=2 * size), size))
            names.append(source.name(i))
        except UnreadableImage:
            continue
    if len(images) < COMPARED:
        raise UserError(f"{path}: {len(images)} readable images are too few to compare on; give {COMPARED} or more")
    return np.stack(images), names
