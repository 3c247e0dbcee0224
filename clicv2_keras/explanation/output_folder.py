import itertools
import os
from pathlib import Path

import numpy as np

from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import check_writable_folder, user_path

# No path is longer.
MOST_BYTES = 2**20
# Of an image's name as much as leaves room, in the 255 bytes of a file's name, for what is put around it.
MOST_OF_NAME = 200


class OutputFolder:
    """Writes explanations: for `photos/cat.jpg` the figure `cat.png` and the arrays `cat.npz`.

    Explained again, an image's files are replaced. Where the name is taken by anything else, the photograph itself or
    another `cat.jpg`, it is `cat-2`, `cat-3`, … A name of more than 200 bytes is cut.

    The arrays: `image_file`, the name as it was given, and `image_path`; `score`, `size` (width, height); `map` and the
    saliency by method on their own grids; each of them once more as `map_pixels` and so on, float32 (height, width), at
    the pixels of the upright image.

    Args:
        path: the folder; made when it is first needed.

    Raises:
        UserError: where it is a file.
    """

    def __init__(self, path):
        self.path = user_path(path)
        check_writable_folder(self.path)

    def figure_path(self, file):
        """Where the figure of the image `file` goes."""
        stem = Path(file).stem
        if len(os.fsencode(stem)) > MOST_OF_NAME:
            stem = os.fsencode(stem)[:MOST_OF_NAME].decode(errors="ignore")
        for number in itertools.count(1):
            path = self.path / (stem + (f"-{number}" if number > 1 else "") + ".png")
            arrays = path.with_suffix(".npz")
            if not path.exists() and not arrays.exists() or _is_of(arrays, file):
                return path

    def write(self, explanation):
        """Write both files and return the figure's path.

        Raises:
            UserError: where that is not possible.
        """
        from clicv2_keras.explanation.figure import save

        arrays = {"image_file": explanation.file, "image_path": _absolute(explanation.file)}
        arrays |= {"score": np.float32(explanation.score), "size": explanation.size}
        for name, grid in explanation.grids.items():
            arrays |= {name: grid, f"{name}_pixels": explanation.at_pixels(name)}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            path = self.figure_path(explanation.file)
            # The arrays first: they tell whose figure stands beside them.
            _write(path.with_suffix(".npz"), lambda file: np.savez_compressed(file, **arrays))
            _write(path, lambda file: save(explanation, file))
        except OSError as error:
            raise UserError(
                f"output: {self.path} cannot be written to: {error.strerror}; name another folder"
            ) from None
        return path


def _write(path, write):
    with atomic_write(path) as unfinished, open(unfinished, "wb") as file:
        write(file)


def _absolute(file):
    return os.path.abspath(user_path(file))


def _is_of(arrays, file):
    """Whether an NPZ is of ours and explains this image."""
    # Files of 0.1 hold the name alone, which is another image's in another folder.
    name, wanted = "image_path", _absolute(file)
    try:
        with np.load(arrays) as content:
            if name not in content.files:
                name, wanted = "image_file", str(file)
            return content.zip.getinfo(f"{name}.npy").file_size <= MOST_BYTES and str(content[name]) == wanted
    except Exception:  # NumPy and zipfile raise whatever a broken file leads them to
        return False
