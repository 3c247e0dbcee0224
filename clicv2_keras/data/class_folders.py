from dataclasses import dataclass

import numpy as np

from clicv2_keras.data.sources import FileSource
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path


@dataclass(frozen=True, eq=False)
class ClassFolders:
    """Images in ImageNet's layout: `train/` and `val/`, in each a folder a class.

    Args:
        source: the images.
        classes: str (n,), the folder's name.
        splits: str (n,), "train" or "val".
    """

    source: FileSource
    classes: np.ndarray
    splits: np.ndarray

    def __len__(self):
        return len(self.source)


def open_class_folders(root, per_class=None, seed=0):
    """Open a data set in ImageNet's layout.

    Args:
        root: folder that holds `train` and `val`.
        per_class: at most so many images a class and part, drawn by `seed`; None takes all.

    Raises:
        UserError: where a part or a class is missing.
    """
    if root is None:
        raise UserError("root: is missing; name the folder that holds train and val")
    root, paths, classes, splits = user_path(root), [], [], []
    rng = np.random.default_rng(seed)
    for split in ("train", "val"):
        folder = root / split
        below = folder.iterdir() if folder.is_dir() else ()
        # A notebook leaves a `.ipynb_checkpoints`.
        names = sorted(path.name for path in below if path.is_dir() and path.name[0] != ".")
        if len(names) < 2:
            raise UserError(
                f"{folder}: needs two or more folders, one a class, as in train/cat/1.jpg and val/cat/2.jpg"
            )
        for name in names:
            images = FileSource.from_folder(folder / name).paths
            if per_class and len(images) > per_class:
                images = [images[i] for i in sorted(rng.choice(len(images), per_class, replace=False))]
            paths += images
            classes += [name] * len(images)
            splits += [split] * len(images)
    classes, splits = np.array(classes), np.array(splits)
    unknown = sorted(set(classes[splits == "val"]) - set(classes[splits == "train"]))
    if unknown:
        raise UserError(f"{root}: val has {len(unknown)} classes that train has not: {', '.join(unknown[:3])}")
    return ClassFolders(FileSource(paths), classes, splits)
