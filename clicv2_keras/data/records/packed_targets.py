"""A guide's targets beside records, of several views of every image: what `prepare --teacher` packs."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clicv2_keras.data.records.index import RecordIndex
from clicv2_keras.data.records.storage import is_remote
from clicv2_keras.utils.atomic_files import write_text
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.views import draw_crop

FOLDER, ABOUT, PROJECTION = "targets", "targets.json", "projection.npz"
# Files that are held open; each is of one shard and view.
OPEN = 64
Count = Annotated[int, Field(ge=1)]


class Packing(BaseModel):
    """Of which teacher and which views targets are; `views` of every image are there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["clicv2-keras targets 1"] = "clicv2-keras targets 1"
    teacher: str
    checksum: str = Field(description="of the teacher's files")
    records: str = Field(description="checksum of the records")
    image_size: Count
    patch_size: Count
    min_area: float = Field(gt=0, le=1)
    strides: list[Count] = Field(description="of the teacher's maps")
    channels: list[Count]
    grid_dim: Count
    pooled_dim: Count
    views: int = Field(0, ge=0)

    @property
    def grid(self):
        """Rows and columns of patches."""
        return (self.image_size // self.patch_size,) * 2

    @property
    def width(self):
        """Numbers a view."""
        return self.grid[0] * self.grid[1] * self.grid_dim + self.pooled_dim

    def draw(self, number, view):
        """The crop of a view of the image of that number: a box and whether it is mirrored, see `utils.views`."""
        return draw_crop(np.random.default_rng((number, view)), self.min_area, flip=True)


def targets_folder(root):
    """Where the targets of the records in `root` lie.

    Raises:
        UserError: where the records are not on a local disk.
    """
    if is_remote(root):
        raise UserError(f"{root}: a guide's targets are read from a local disk; copy the folder here")
    return user_path(root) / FOLDER


def shard_file(folder, shard, view):
    """The file of one view of all images of a shard: float16 (images, `Packing.width`)."""
    return Path(folder, f"{shard:05}.{view:03}.npy")


def open_view(path, shape):
    """The targets of one view, float16 of this shape; None where the file is missing, damaged or of another."""
    try:
        values = np.load(path, mmap_mode="r")
    except Exception:  # a broken header raises whatever it leads to
        return None
    return values if isinstance(values, np.ndarray) and values.shape == shape and values.dtype == np.float16 else None


def read_packing(folder):
    """The `Packing` of a folder of targets; None where there is none.

    Raises:
        UserError: where it is broken.
    """
    try:
        return Packing.model_validate_json(Path(folder, ABOUT).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(f"{Path(folder, ABOUT)}: is damaged; remove {folder} and pack the targets again") from None


def write_packing(folder, packing):
    """Say what the folder holds."""
    write_text(Path(folder, ABOUT), packing.model_dump_json(indent=1))


class PackedTargets:
    """The packed targets of the images of a source, as `training_dataset` takes them: `brought`.

    In epoch e an image is seen by its view e modulo `packing.views`.

    Args:
        root: the folder of records.
        source: the images, `RecordSource` or a `Subset` of it; by default all.

    Raises:
        UserError: where there are no targets, or not of these records.
    """

    def __init__(self, root, source=None):
        self.folder = targets_folder(root)
        self.packing = read_packing(self.folder)
        if self.packing is None or not self.packing.views:
            raise UserError(
                f"{root}: holds no guide's targets, or not all yet; clicv2-keras prepare IMAGES {root} --teacher …"
            )
        index = RecordIndex.read(root)
        if index.checksum != self.packing.records:
            raise UserError(f"{self.folder}: is of other records; remove it and pack the targets again")
        self._first = np.searchsorted(index.shard, np.arange(len(index.shards)))
        self._shard = index.shard
        # Numbers among all records, by number in the source.
        self._numbers = getattr(source, "indices", np.arange(len(index.names)))
        self._opened = functools.lru_cache(OPEN)(self._open)
        patches = self.packing.grid[0] * self.packing.grid[1]
        self.parts = {
            "guide_grid": ((patches, self.packing.grid_dim), "float16"),
            "guide_pooled": ((self.packing.pooled_dim,), "float16"),
        }
        for shard in range(len(index.shards)):
            for view in range(self.packing.views):
                self._opened(shard, view)

    def draw(self, number, epoch):
        """The crop of an image in an epoch; see `Packing.draw`."""
        return self.packing.draw(int(self._numbers[number]), epoch % self.packing.views)

    def read(self, number, epoch, image):
        """Its targets, in the order of `parts`."""
        number = int(self._numbers[number])
        shard = int(self._shard[number])
        values = self._opened(shard, epoch % self.packing.views)[number - self._first[shard]]
        pooled = self.packing.pooled_dim
        return values[:-pooled].reshape(self.parts["guide_grid"][0]), values[-pooled:]

    def _open(self, shard, view):
        path = shard_file(self.folder, shard, view)
        values = open_view(path, (int((self._shard == shard).sum()), self.packing.width))
        if values is None:
            raise UserError(f"{path}: is missing or damaged; run the same clicv2-keras prepare again")
        return values
