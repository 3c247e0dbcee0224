"""Images that cannot be read: one is passed over, but not when all went away."""

import os
from pathlib import Path


class SkippedImages:
    """To be called with the name of an unreadable image and the reason; logs each once.

    `names` are those of the images so far. `fault` is None, or one phrase on why the run cannot go on: a call that
    finds the recipe's folder away or empty, or all files of its list away, raises OSError, and sets it.

    Args:
        folder: the `RunFolder`.
        source: the images; see `open_source`.
    """

    def __init__(self, folder, source):
        self.folder = folder
        self.source = source
        self.names = {}
        self.fault = None
        self.path = folder.recipe.data.path
        self.place = self.path and Path(self.path).expanduser()
        kind = folder.recipe.data.source
        self.listed = kind == "list"
        # Records may lie where there are no folders.
        self.watched = kind in ("folder", "records") and self.place.is_dir()

    def __call__(self, name, reason):
        # In a thread of tf.data: what is raised here reaches `fit`, but as an error of another type.
        if self.watched and _is_gone(self.place):
            self.fault = f"{self.path}: the folder of the images is gone or empty"
            raise OSError(self.fault)
        # To wait until each has failed takes minutes. One that is there ends the search.
        if self.listed and not any(path.exists() for path in self.source.paths):
            self.fault = f"{self.path}: none of the {len(self.source)} files it names exists any more"
            raise OSError(self.fault)
        if name in self.names:
            return
        self.names[name] = reason
        if len(self.names) == len(self.source):
            self.fault = f"{self.path}: none of the {len(self.source)} images can be read any more"
        try:
            self.folder.log(f"unreadable: {name}: {reason}")
        except OSError as error:
            self.fault = f"{error.filename}: {error.strerror}"
            raise


def _is_gone(folder):
    """An empty one may be where a disk was mounted."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
