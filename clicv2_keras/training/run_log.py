"""Where a run's lines go: all into `log.txt`, and what a user waits for onto the screen as well."""

import contextlib
import logging
import sys

from clicv2_keras.utils.atomic_files import naming

# The package's logger: every module logs to its own below it.
LOGGER = logging.getLogger("clicv2_keras")


@contextlib.contextmanager
def run_log(display, folder=None):
    """Context in which lines of the package go to a file, with the time, and those from INFO on to a display.

    Args:
        display: the `Display`.
        folder: the `RunFolder`, to whose `log.txt` they are appended; None for no file. Others than its first process
            tell their lines on stderr alone.
    """
    if folder is None:
        handlers = [_DisplayHandler(display)]
    elif folder.is_first:
        handlers = [_DisplayHandler(display), _FileHandler(folder.path / "log.txt")]
    else:
        handlers = [logging.StreamHandler(sys.stderr)]
        handlers[0].setFormatter(logging.Formatter(f"process {folder.process}: %(message)s"))
    level = LOGGER.level
    LOGGER.setLevel(logging.DEBUG)
    for handler in handlers:
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.setLevel(level)
        for handler in handlers:
            LOGGER.removeHandler(handler)


class _FileHandler(logging.Handler):
    """A full disk is an OSError that names the file; logging's own handlers would print it and go on."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))

    def emit(self, record):
        # A file's name need not be Unicode.
        with naming(self.path), open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{self.format(record)}\n")


class _DisplayHandler(logging.Handler):
    def __init__(self, display):
        super().__init__(logging.INFO)
        self.display = display

    def emit(self, record):
        self.display.say(record.getMessage())
