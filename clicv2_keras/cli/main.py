"""`clicv2-keras`: the commands by name, and what a mistake looks like."""

import contextlib
import errno
import importlib
import inspect
import os
import re
import sys

import click

from clicv2_keras.utils.errors import UserError, install_hint
from clicv2_keras.utils.text import did_you_mean, printable
from clicv2_keras.utils.version import __version__

# Command: the extra it needs; None where the core suffices. In the order of a newcomer's path.
COMMANDS = dict.fromkeys(("score", "demo", "models", "benchmark"))
COMMANDS["select"] = "parquet"
COMMANDS |= dict.fromkeys(
    ("explain", "evaluate", "train", "finetune", "export", "prepare", "ablate", "recipe"), "train"
)
# Command of 0.1: what took its place.
RETIRED = {"distill": "is a recipe now: clicv2-keras train pixels_vit_tiny --set data.path=FOLDER, then finetune it"}

# What a stream that does not take our output says, by number.
STREAM_FAULTS = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EINVAL, errno.EAGAIN)


class Mistake(click.ClickException):
    """Printed as one line, without a traceback."""

    def __init__(self, message, exit_code=2):
        super().__init__(printable(message))
        self.exit_code = exit_code


class Commands(click.Group):
    """Loads a command's file when it is asked for, and that file loads its verb when it is called."""

    def list_commands(self, context):
        return list(COMMANDS)

    def get_command(self, context, name):
        if name in RETIRED:
            raise Mistake(f"{name} {RETIRED[name]}")
        if name not in COMMANDS:
            raise Mistake(f"{name}: no such command; {did_you_mean(name, COMMANDS)}there are {', '.join(COMMANDS)}")
        return getattr(importlib.import_module(f"clicv2_keras.cli.{name}"), name)

    def format_commands(self, context, formatter):
        """Each command with the first sentence of its help, whole."""
        commands = ((name, self.get_command(context, name)) for name in COMMANDS)
        with formatter.section("Commands, in the order in which one comes to need them"):
            formatter.write_dl([(name, _first_sentence(command.help)) for name, command in commands])

    def main(self, *args, **kwargs):
        _mend_streams()
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                # What is held back would fail when Python ends, in a traceback.
                sys.stdout.flush()
        except OSError as error:
            # Other files are named, but for faults of the place, such as no folder for temporary files.
            if error.filename is not None or isinstance(error, BrokenPipeError):
                raise
            _drop_stdout()
            where = "standard output: " if error.errno in STREAM_FAULTS else ""
            click.echo(f"Error: {where}{error.strerror or error}", err=True)
            sys.exit(1)

    def invoke(self, context):
        try:
            return super().invoke(context)
        except UserError as error:
            raise Mistake(str(error), error.exit_code) from None
        except OSError as error:
            # Permissions, a full disk: a fault of the place, not of the program. A closed pipe is click's to handle.
            if error.filename is None or isinstance(error, BrokenPipeError):
                raise
            raise Mistake(f"{os.fsdecode(error.filename)}: {error.strerror}", 1) from None
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            context.exit(130)
        except ModuleNotFoundError as error:
            extra = COMMANDS.get(context.invoked_subcommand)
            if extra is None or (error.name or "").startswith("clicv2_keras"):
                raise
            raise Mistake(f"{context.invoked_subcommand} needs {error.name}; {install_hint(extra)}") from None


def _first_sentence(text):
    paragraph = " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
    end = re.search(r"\.(?= [A-Z]|$)", paragraph)
    return paragraph[: end.end()] if end else paragraph


def _mend_streams():
    """Give closed streams a number, which the next file would get, and let every text be written."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                # Of stdout for reading: what is written there is an error and not lost in silence.
                os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError):  # of what can neither be written nor sought
                stream.reconfigure(errors="replace")


def _drop_stdout():
    """Let what stdout holds back go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stdout.flush()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="clicv2-keras", message="%(prog)s %(version)s")
def main():
    """How complex is an image? Score pictures anywhere, compare with people, learn it without labels (CLICv2).

    Begin with clicv2-keras score PICTURE. Each command says more with --help.
    """
