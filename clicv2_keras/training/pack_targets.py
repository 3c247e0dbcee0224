"""A teacher's targets of several views of every packed image: asked once, so that a run need not ask in every step.

Import only once the backend is chosen.
"""

import hashlib
import os
from pathlib import Path

import keras
import numpy as np

from clicv2_keras.data.crops import read_crops
from clicv2_keras.data.records.packed_targets import (
    PROJECTION,
    Packing,
    open_view,
    read_packing,
    shard_file,
    targets_folder,
    write_packing,
)
from clicv2_keras.data.records.source import RecordSource
from clicv2_keras.layers import GuideTargets
from clicv2_keras.recipe.schema import Guide
from clicv2_keras.recipe.shapes import target_widths
from clicv2_keras.utils.atomic_files import atomic_write, sha256
from clicv2_keras.utils.display import Display
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.paths import FolderLock, user_path
from clicv2_keras.utils.threads import ordered_map, share_cores

BATCH = 32


def pack_targets(root, teacher, network, views, image_size, patch_size, min_area, progress=True):
    """Pack what `network`, the opened `teacher`, sees beside the records in `root`; see `prepare`.

    Returns:
        The `Packing`.

    Raises:
        UserError: where `root` holds targets of another teacher or of other views, or another process works there.
    """
    source, folder = RecordSource(root), targets_folder(root)
    if len(source) < 2:
        raise UserError(f"{root}: holds one image, of which no components can be found; pack two or more")
    grid_dim, pooled_dim = target_widths(network.strides, network.channels, Guide().grid_dim, Guide().pooled_dim)
    packing = Packing(
        teacher=str(teacher),
        checksum=_checksum(teacher),
        records=source.index.checksum,
        image_size=image_size,
        patch_size=patch_size,
        min_area=min_area,
        strides=network.strides,
        channels=network.channels,
        grid_dim=grid_dim,
        pooled_dim=pooled_dim,
    )
    targets = GuideTargets(packing.strides, packing.channels, packing.grid, grid_dim, pooled_dim)
    with FolderLock(user_path(root)), Display(len(source) * views, label="views", enabled=progress) as display:
        before = read_packing(folder)
        if before is not None and before.model_copy(update={"views": 0, "teacher": packing.teacher}) != packing:
            raise UserError(
                f"{folder}: holds targets of another teacher or of other views; remove it, or name another OUTPUT"
            )
        if before is None:
            _begin(folder, packing, source, network, targets, display)
        else:
            targets, packing = fitted_targets(folder, before), before
        ask = _asked(network, targets)
        for view in range(views):
            _pack_view(folder, packing, source, view, ask, display)
            # What is said to be there is there: a run may begin, and more views may join it later.
            packing = packing.model_copy(update={"views": max(packing.views, view + 1)})
            write_packing(folder, packing)
        size = sum(path.stat().st_size for path in folder.glob("*.npy"))
        display.say(f"{folder}: {packing.views} views of {len(source):,} images by {teacher}, {size / 1e6:,.1f} MB")
        keys = ("data.source=records", f"data.path={root}", "guide.teacher=packed")
        display.say(f"Next: clicv2-keras train … {' '.join(f'--set {key}' for key in keys)}")
    return packing


def fitted_targets(folder, packing):
    """The `GuideTargets` that a folder of targets was packed with.

    Raises:
        UserError: where their projection is missing or damaged, or of an earlier version.
    """
    dims = packing.model_dump(include={"strides", "channels", "grid_dim", "pooled_dim"})
    targets, path = GuideTargets(grid=packing.grid, **dims), folder / PROJECTION
    try:
        with np.load(path) as arrays:
            targets.set_weights([arrays[name] for name in arrays.files])
    except Exception:  # a broken header raises whatever it leads to
        raise UserError(f"{path}: is missing or damaged; remove {folder} and pack the targets again") from None
    return targets


def _begin(folder, packing, source, network, targets, display):
    """Fit the projection to the first images, which `prepare` has shuffled, and say what the folder is of."""
    folder.mkdir(exist_ok=True)
    sample = range(min(Guide().sample, len(source)))
    display.update(0, "finding the components")
    targets.fit(network(images) for images in _batches(source, packing, sample, view=0))
    with atomic_write(folder / PROJECTION) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **{f"{i}": np.asarray(value) for i, value in enumerate(targets.get_weights())})
    write_packing(folder, packing)


def _pack_view(folder, packing, source, view, ask, display):
    """Write the files of one view that are not there yet, or damaged."""
    index = source.index
    first = np.searchsorted(index.shard, np.arange(len(index.shards) + 1))
    for shard in range(len(index.shards)):
        path = shard_file(folder, shard, view)
        numbers = range(first[shard], first[shard + 1])
        shape = len(numbers), packing.width
        if not numbers or open_view(path, shape) is not None:
            continue
        with atomic_write(path) as unfinished:
            with open(unfinished, "wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
                done = 0
                for images in _batches(source, packing, numbers, view):
                    grid, pooled = ask(images)
                    rows = np.concatenate([grid.reshape(len(images), -1), pooled], axis=1)
                    # Beyond float16 lies nothing that could be learnt.
                    file.write(np.clip(rows, -6e4, 6e4).astype("<f2").tobytes())
                    done += len(images)
                    display.update(view * len(source) + int(first[shard]) + done, f"view {view + 1}")


def _batches(source, packing, numbers, view):
    """One view of the images of these numbers, in batches: uint8 (n, S, S, 3)."""

    def read(number):
        try:
            return read_crops(source, number, [packing.draw(number, view)], packing.image_size)[0]
        except UnreadableImage as error:
            raise UserError(f"{source.name(number)}: {error}; run the same clicv2-keras prepare again") from None

    views = []
    for image in ordered_map(read, numbers, share_cores()[0]):
        views.append(image)
        if len(views) == BATCH:
            yield np.stack(views)
            views = []
    if views:
        yield np.stack(views)


class Asked(keras.Model):
    """Images to a teacher's targets; compiled by whatever backend."""

    def __init__(self, network, targets):
        super().__init__()
        self.network, self.targets = network, targets

    def call(self, images):
        return self.targets(self.network(images))


def _asked(network, targets):
    """A function from images to their targets, two arrays."""
    if not isinstance(network, keras.Model):  # a SavedModel, which is no part of a graph of Keras
        return lambda images: [keras.ops.convert_to_numpy(each) for each in targets(network(images))]
    model = Asked(network, targets)

    def ask(images):
        # Of one size, so that one program serves all.
        padding = np.zeros((BATCH - len(images), *images.shape[1:]), "uint8")
        return [each[: len(images)] for each in model.predict_on_batch(np.concatenate([images, padding]))]

    return ask


def _checksum(teacher):
    """Of the files that a teacher's name stands for; of the name itself where it is no file."""
    path = user_path(teacher)
    if path.is_file():
        return sha256(path)
    files = sorted(Path(root, name) for root, _, names in os.walk(path) for name in names)
    parts = [f"{file.relative_to(path)} {sha256(file)}" for file in files] or [str(teacher)]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
