"""Where images come from: files, drawings from a seed, or records; by number, whatever it is."""

import math
import os
from pathlib import Path

from PIL import Image

from clicv2_keras.data.records.source import RecordSource
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import files_below, seems_image
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.procedural import procedural_complexity, procedural_image

# Drawing costs milliseconds, as much as a training step of a small model: images are kept up to this many bytes.
CACHE_BYTES = 512 * 2**20


def open_source(kind, path=None, num_images=None, image_size=None, seed=0):
    """Open the images of a kind.

    Args:
        kind: `"folder"`, `"list"` or `"records"`, which lie at `path`, or `"procedural"`: `num_images` for `image_size`
            and `seed`.

    Returns:
        A source: `len(source)`, `source.name(i)`, and `source.load(i, at_least=None)`, a `PIL.Image` of mode RGB, which
        raises `clicv2_keras.utils.images.UnreadableImage`.

    Raises:
        UserError: where nothing usable is there.
        ValueError: where `kind` is none of these.
    """
    if kind == "folder":
        return FileSource.from_folder(path)
    if kind == "list":
        return FileSource.from_list(path)
    if kind == "records":
        return RecordSource(path)
    if kind == "procedural":
        return ProceduralSource(num_images, image_size, seed)
    raise ValueError(f"kind must be folder, list, records or procedural, got {kind!r}.")


class FileSource:
    """Image files by number.

    Args:
        paths: files, taken to be images.
        names: how each is called in logs and tables; the path by default.
    """

    def __init__(self, paths, names=None):
        self.paths = list(paths)
        self.names = names or [str(path) for path in self.paths]

    @classmethod
    def from_folder(cls, path):
        """Every image below a folder, sorted by name; see `files_below`.

        Raises:
            UserError: where the folder is missing or holds no image, or a folder in it cannot be read.
        """
        root = user_path(path)
        if not os.path.exists(root):
            raise UserError(f"{path}: there is no such folder; name one that holds images")
        if not os.path.isdir(root):
            raise UserError(f"{path}: this is a file; name a folder of images, or set data.source=list for a list file")
        images = []
        for found in files_below(root, seems_image):
            if found.error:
                raise UserError(f"{found.file}: {found.error}; mend its rights, or name another folder")
            images.append(Path(found.file))
        if not images:
            raise UserError(
                f"{path}: holds no image at any depth; name a folder with JPEG, PNG, WebP, BMP, GIF, TIFF or AVIF files"
            )
        return cls(sorted(images))

    @classmethod
    def from_list(cls, path):
        """The images that a text file names, one path a line, relative to that file; a line that begins with `#` is
        a comment.

        Raises:
            UserError: where the list is missing or empty, or none of its files exists.
        """
        file = user_path(path)
        if not os.path.isfile(file):
            raise UserError(f"{path}: there is no such list file; name a text file with one image path a line")
        # Names of files that are no Unicode keep their bytes.
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
        if "\0" in text:
            raise UserError(f"{path}: this is no text file; name one with one image path a line")
        # Not by `splitlines`, which cuts at letters that a name may hold.
        lines = [line.strip(" \t\r") for line in text.split("\n")]
        names = [line for line in lines if line and not line.startswith("#")]
        if not names:
            raise UserError(f"{path}: the list names no image; write one image path a line")
        paths = [file.parent / user_path(name) for name in names]
        if not any(os.path.exists(p) for p in paths):
            raise UserError(
                f"{path}: none of the {len(paths)} files it names exists; paths are relative to the list file"
            )
        return cls(paths, names)

    def __len__(self):
        return len(self.paths)

    def name(self, index):
        return self.names[index]

    def load(self, index, at_least=None):
        """The image, a `PIL.Image` of mode RGB; see `clicv2_keras.utils.images.open_rgb`."""
        return open_rgb(self.paths[index], at_least)


class ProceduralSource:
    """Procedural images by number, of known complexity.

    Args:
        num_images: how many there are.
        image_size: side in pixels of what will be cut from them; they are drawn √2 times as large, so that a crop of
            half the area is not blown up.
        seed: another seed gives other images, without overlap.
    """

    def __init__(self, num_images, image_size, seed=0):
        self.num_images = num_images
        self.side = math.ceil(image_size * math.sqrt(2))
        self.seed = seed
        self._drawn = {}

    def __len__(self):
        return self.num_images

    def name(self, index):
        return f"procedural {self.seed}/{index}"

    def load(self, index, at_least=None):
        """The image, a `PIL.Image` of mode RGB."""
        return Image.fromarray(self._draw(index))

    def complexity(self, index):
        """The image's known complexity, in [0, 1]."""
        return procedural_complexity(self._scene_seed(index))

    def _scene_seed(self, index):
        return (self.seed << 32) + index

    def _draw(self, index):
        drawn = self._drawn.get(index)
        if drawn is None:
            drawn = procedural_image(self._scene_seed(index), self.side)[0]
        if len(self._drawn) < CACHE_BYTES // (3 * self.side**2):
            self._drawn[index] = drawn
        return drawn
