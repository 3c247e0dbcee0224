"""A program: one run of the command line in several lives, each forked from here, so that TensorFlow is imported once.

Each line of stdin is a life in JSON: its "args", "eager" or not, and what befalls it. Each is answered by a line
{"status", "output"}: the exit status, negative for a signal, and what the life printed. A life with "beside" runs
beside the others and is answered in the end. What may befall a life:

- "step": n: `signal` (9 where not given) comes `delay` seconds after step n has begun.
- "checkpoint": n, "stage": killed when the checkpoint of step n is "half" written, "written", or "renamed".
- "row": n: killed when the row of step n is written, before anything else.
- "epoch": n: killed when the interval that ends with step n is over, before its row.
- "seconds": s: killed s seconds after its first step.
- "full": path: the disk is full for the file at this path from the first step on.
- "gone": folder: the folder is renamed away before the first batch is read, and back when the life is over.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path


def befall(life, journal, run_folder, os_replace=os.replace):
    """Patch what `life` names."""

    def die(number=signal.SIGKILL):
        os.kill(os.getpid(), number)

    def at_step(self, batch, logs=None):
        step = self.step + 1
        if step == life.get("step"):
            threading.Timer(life.get("delay", 0), die, [life.get("signal", signal.SIGKILL)]).start()

    def at_step_end(self, batch, logs, original=journal.Journal.on_train_batch_end):
        original(self, batch, logs)
        if "seconds" in life:
            threading.Timer(life.pop("seconds"), die).start()

    def at_begin(self, logs=None, original=journal.Journal.on_train_begin):
        original(self)
        if "full" in life:
            Path(life["full"]).unlink(missing_ok=True)
            Path(life["full"]).symlink_to("/dev/full")
        if "gone" in life:
            os.rename(life["gone"], life["gone"] + "_away")

    def replace(source, target):
        if "checkpoint" in life and Path(target).name == f"step_{life['checkpoint']:08d}.npz":
            if life["stage"] == "half":
                os.truncate(source, os.path.getsize(source) // 2)
            if life["stage"] == "renamed":
                os_replace(source, target)
            die()
        os_replace(source, target)

    def at_end(self, epoch, logs=None, original=journal.Journal.on_epoch_end):
        if self.step == life.get("epoch"):
            die()
        original(self, epoch, logs)

    def add_row(self, row, original=run_folder.RunFolder.add_row):
        original(self, row)
        if row["step"] == life.get("row"):
            die()

    journal.Journal.on_train_begin = at_begin
    journal.Journal.on_train_batch_begin = at_step
    journal.Journal.on_epoch_end = at_end
    run_folder.RunFolder.add_row = add_row
    journal.Journal.on_train_batch_end = at_step_end
    os.replace = replace


def live(life, output):
    """In the child."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.alarm(600)  # a life that hangs must not hang the tests
    status = 1
    try:
        from clicv2_keras.cli.main import main
        from clicv2_keras.training import run_folder
        from clicv2_keras.training.callbacks import journal

        if life.get("eager"):
            import tensorflow as tf

            tf.config.run_functions_eagerly(True)  # tracing the step takes longer than a few steps
        befall(life, journal, run_folder)
        main(life["args"])
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def begin(life):
    """Fork; the child's id and the pipe that it prints to."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        live(life, writing)
    os.close(writing)
    return life, child, reading


def end(life, child, reading):
    """Wait for the child, and say what became of it."""
    with os.fdopen(reading, errors="replace") as pipe:
        output = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if "gone" in life:
        os.rename(life["gone"] + "_away", life["gone"])
    return {"status": status, "output": output}


if __name__ == "__main__":
    from clicv2_keras.utils.backend import choose_backend

    choose_backend()
    import matplotlib.figure  # noqa: F401

    import clicv2_keras.training.build
    import clicv2_keras.training.callbacks.journal  # noqa: F401

    beside = []
    for life in map(json.loads, sys.stdin):
        begun = begin(life)
        if life.get("beside"):
            beside.append(begun)
        else:
            print(json.dumps(end(*begun)), flush=True)
    for begun in beside:
        print(json.dumps(end(*begun)), flush=True)
