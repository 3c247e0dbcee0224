"""What a run stands on: one unreadable image is passed over, but not when all went away, or the disk is full."""

import contextlib
import logging
import os

from clicv2_keras.utils.errors import ResourceLost, UserError
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.text import as_unicode

log = logging.getLogger(__name__)


class SkippedImages:
    """To be called with the name of an unreadable image and the reason; logs each once.

    `names` are those of the images so far. `fault` is None, or one phrase on why the run cannot go on: a call that
    finds the recipe's folder away or empty, or all files of its list away, raises OSError, and sets it.

    Args:
        data: the recipe's section `data`.
        source: the images; see `open_source`.
    """

    def __init__(self, data, source):
        self.source = source
        self.names = {}
        self.fault = None
        self.path = data.path
        self.place = user_path(self.path) if self.path else None
        self.listed = data.source == "list" and self.path is not None
        self._there = None
        # Records may lie where there are no folders.
        self.watched = data.source in ("folder", "records") and self.place is not None and self.place.is_dir()

    def __call__(self, name, reason):
        # In a thread of tf.data: what is raised here reaches `fit`, but as an error of another type.
        if self.watched and _is_gone(self.place):
            self.fault = f"{self.path}: the folder of the images is gone or empty"
            raise OSError(self.fault)
        # To wait until each has failed takes minutes. One that is there ends the search.
        if self.listed and not self._one_is_there():
            self.fault = f"{self.path}: none of the {len(self.source)} files it names exists any more"
            raise OSError(self.fault)
        if name in self.names:
            return
        self.names[name] = reason
        try:
            log.debug("unreadable: %s: %s", as_unicode(name), reason)
        except OSError as error:
            self.fault = f"{error.filename}: {error.strerror}"
            raise

    def _one_is_there(self):
        # The one of before is asked for first: of a list half of which is away all of that would be, each time.
        if self._there is None or not os.path.exists(self._there):
            self._there = next(filter(os.path.exists, self.source.paths), None)
        return self._there is not None

    def fail(self, reason):
        """Say why no batch can be filled any more: none of the images opens, or what is packed beside them is gone."""
        self.fault = self.fault or reason


@contextlib.contextmanager
def losses_in_one_line(folder, skipped):
    """Context in which a full disk, and images that went away, end the run with one line.

    Args:
        folder: the `RunFolder`.
        skipped: the `SkippedImages` of the run.

    Raises:
        ResourceLost: in place of the error.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        fault = skipped.fault
        if fault is None and isinstance(error, OSError):
            fault = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        if fault is None:
            raise
        fault = f"{fault}; {folder.checkpoints.last()}"
        lost = ResourceLost(folder.path, fault, "once that is mended, the same command with --resume goes on")
        with contextlib.suppress(OSError):
            log.debug("%s", lost)
        raise lost from error


def _is_gone(folder):
    """An empty one may be where a disk was mounted."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
