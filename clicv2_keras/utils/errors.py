"""What a user can mend: one line that says what is wrong, where, and what to do."""

import inspect
import sys

from clicv2_keras.utils.version import __version__

# Extras that TensorFlow is in.
BOUND = ("train", "hub", "test")


def install_hint(extra):
    """What to install, as the end of an error's line: no package index has this package."""
    if extra in BOUND and sys.version_info >= (3, 14):
        return f"the extra [{extra}] is for Python 3.11 to 3.13: TensorFlow has no package for later ones"
    wheel = f"clicv2_keras-{__version__}-py3-none-any.whl"
    return f"pip install '.[{extra}]' in a clone of the repository, or pip install '{wheel}[{extra}]'"


class UserError(Exception):
    """A mistake in the input. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 2

    def __init__(self, message):
        # What a file holds may be in it.
        super().__init__(" ".join(str(message).splitlines()))


def refuse_unused(function, given, why):
    """Raise a `UserError` for the first of `given`, arguments of `function` by name, that is not at its default."""
    defaults = inspect.signature(function).parameters
    for name, value in given.items():
        if value != defaults[name].default:
            raise UserError(f"--{name.replace('_', '-')}: {why}")


class RunAborted(UserError):
    """A run ended before its last step."""

    exit_code = 1


class Diverged(RunAborted):
    """The loss or a weight is no number any more: the run cannot go on."""


class ResourceLost(RunAborted):
    """What the run stands on went away: room on the disk, the images, or its process; no fault of the program.

    Args:
        where: the run folder.
        fault: one phrase on what went away.
        remedy: one phrase on what to do.
    """

    def __init__(self, where, fault, remedy):
        super().__init__(f"{where}: {fault}; {remedy}")
        self.fault = fault


class Interrupted(RunAborted):
    """A signal ended the run in good order; its exit code is the shell's for that signal."""

    def __init__(self, message, signal):
        super().__init__(message)
        self.exit_code = 128 + signal
