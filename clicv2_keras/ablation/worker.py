"""One run in a process of its own, so that the memory that TensorFlow keeps of every `fit` goes with it.

Measured: 170 MB a run stay behind for a model of 42 MB, whatever is cleared.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from clicv2_keras.utils.errors import Diverged, Interrupted, ResourceLost, UserError


@dataclass
class Outcome:
    """What a run gave: figures, keys of `FIGURES`; lines for the user; or why it diverged, what it stood on that went
    away, or what mistake it met."""

    figures: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    diverged: str = ""
    fault: str = ""
    mistake: str = ""


def work(run, data, test_split, stop):
    """Train and judge a `Run` in a new process; the arguments as in `Plan`.

    Returns:
        An `Outcome`, or None where `stop.requested` was set meanwhile and the run ended with a checkpoint.

    Raises:
        UserError: what the run raised.
        ResourceLost: where the disk is full or the images are gone, or its process died.
    """
    folder = Path(run.recipe.run.dir)
    folder.mkdir(parents=True, exist_ok=True)
    # No pipe for the answer: what waits to be read would keep the run from its end.
    with open(folder / "stderr.txt", "wb") as errors, tempfile.TemporaryFile() as answers:
        process = subprocess.Popen(
            # -P: modules that lie in the working folder are not ours to run.
            [sys.executable, "-P", "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=answers,
            stderr=errors,
            # Ctrl-C is for this process alone, which then ends the other.
            start_new_session=True,
        )
        with process:
            # The pipe stays open as long as this process wants the run: its end stops it, also where we are killed.
            with contextlib.suppress(BrokenPipeError):
                pickle.dump((run.recipe, data, test_split), process.stdin)
                process.stdin.flush()
            while process.poll() is None and not stop.requested:
                time.sleep(0.05)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        answers.seek(0)
        answer = answers.read()
    if answer:
        outcome = pickle.loads(answer)
        if outcome.mistake:
            raise UserError(outcome.mistake)
        if outcome.fault:
            raise ResourceLost(folder, outcome.fault, "once that is mended, the same command goes on")
        return outcome
    if stop.requested:
        return None
    last = (folder / "stderr.txt").read_text(errors="replace").strip().rpartition("\n")[2]
    code = process.returncode
    why = f"killed by signal {-code}, perhaps for memory" if code < 0 else last or f"exit code {code}"
    raise ResourceLost(folder, f"the run broke off: {why}", "stderr.txt there says more, the same command goes on")


def main():
    """The other side: read a run, do it, answer."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    recipe, data, test_split = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()

    from clicv2_keras.ablation.probe import probe
    from clicv2_keras.training.run import train

    try:
        figures, notes = probe(train(recipe, resume=True, progress=False), data, test_split)
        outcome = Outcome(figures, notes)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
    except ResourceLost as lost:
        outcome = Outcome(fault=lost.fault)
    except Diverged as diverged:  # is a result: the other rows go on
        outcome = Outcome(diverged=str(diverged))
    except UserError as error:
        outcome = Outcome(mistake=str(error))
    with answer:
        pickle.dump(outcome, answer)


def _end_with_the_pipe():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
