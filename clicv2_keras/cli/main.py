"""`clicv2-keras`: the commands by name, and what a mistake looks like."""

import importlib
import os

import click

from clicv2_keras.utils.errors import UserError

# Command: the module of its click command, the extra it needs; None where the core suffices.
COMMANDS = dict.fromkeys(("prepare", "train", "evaluate", "finetune", "ablate", "export", "explain", "recipe"), "train")
COMMANDS |= dict.fromkeys(("score", "benchmark", "demo"))
# Command of 0.1: what took its place.
RETIRED = {"distill": "is a recipe now: clicv2-keras train pixels_vit_tiny --set data.path=FOLDER, then finetune it"}


class Mistake(click.ClickException):
    """Printed as one line, without a traceback."""

    def __init__(self, message, exit_code=2):
        super().__init__(message)
        self.exit_code = exit_code


class Commands(click.Group):
    """Loads a command's file when it is asked for, and that file loads its verb when it is called."""

    def list_commands(self, context):
        return list(COMMANDS)

    def get_command(self, context, name):
        if name in RETIRED:
            raise UserError(f"{name} {RETIRED[name]}")
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"clicv2_keras.cli.{name}"), name)

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
        except ModuleNotFoundError as error:
            extra = COMMANDS.get(context.invoked_subcommand)
            if extra is None or (error.name or "").startswith("clicv2_keras"):
                raise
            line = f"{context.invoked_subcommand} needs {error.name}; pip install 'clicv2-keras[{extra}]'"
            raise Mistake(line) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clicv2-keras", message="%(prog)s %(version)s")
def main():
    """How complex is an image? Learn it without labels (CLICv2), compare it with people, score pictures anywhere."""
