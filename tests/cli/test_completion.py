"""Completion by Tab, as docs/reference/commands tells a shell to ask for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "clicv2-keras"


def ask(kind, **words):
    environment = {**os.environ, "_CLICV2_KERAS_COMPLETE": kind, **words}
    return subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell):
    assert f"{shell}_complete" in ask(f"{shell}_source")


LINES = {
    "clicv2-keras sc": "score",
    "clicv2-keras export --quan": "--quantize",
    "clicv2-keras export --quantize dy": "dynamic",
}


@pytest.mark.parametrize("line", LINES)
def test_commands_options_and_values_are_completed(line):
    words = line.split()
    assert ask("bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).split() == [f"plain,{LINES[line]}"]
