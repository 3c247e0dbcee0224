"""A run that cannot go on, for no fault of the program."""

import contextlib

from clicv2_keras.utils.errors import UserError


class BrokenOff(UserError):
    """What the run stands on went away: room on the disk, the images, or its process.

    Args:
        where: the run folder.
        fault: one phrase on what went away.
        remedy: one phrase on what to do.
    """

    exit_code = 1

    def __init__(self, where, fault, remedy):
        super().__init__(f"{where}: {fault}; {remedy}")
        self.fault = fault


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
        fault = f"{fault}; {folder.checkpoints.last()}"
        broken = BrokenOff(folder.path, fault, "once that is mended, the same command with --resume goes on")
        with contextlib.suppress(OSError):
            folder.log(str(broken))
        raise broken from error
