"""A run that cannot go on, for no fault of the program."""

import contextlib

from clicv2_keras.errors import UserError


class BrokenOff(UserError):
    """What the run stands on went away: room on the disk, or the images."""

    exit_code = 1


@contextlib.contextmanager
def in_one_line(folder, skipped):
    """Context in which a full disk, and images that went away, end the run with one line."""
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
        line = f"{fault}; {folder.checkpoints.last()}; once that is mended, the same command with --resume goes on"
        with contextlib.suppress(OSError):
            folder.log(line)
        raise BrokenOff(f"{folder.path}: {line}") from error
