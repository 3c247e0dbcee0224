"""A program: one run of the command line in several attempts, forked from here, so that TensorFlow is imported once.

Each line of stdin is an attempt in JSON: its "args", "eager" or not, and what befalls it. Each is answered by a line
{"status", "output"}: the exit status, negative for a signal, and what it printed. An attempt with "beside" runs
beside the others and is answered in the end. What may befall an attempt:

- "step": n: `signal` (9 where not given) comes `delay` seconds after step n has begun.
- "checkpoint": n, "stage": killed when the checkpoint of step n is "half" written, "written", or "renamed".
- "row": n: killed when the row of step n is written, before anything else.
- "epoch": n: killed when the interval that ends with step n is over, before its row.
- "seconds": s: killed s seconds after its first step.
- "full": path: the disk is full for the file at this path from the first step on.
- "gone": folder: the folder is renamed away before the first batch is read, and back when the attempt is over.
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path


def befall(attempt, interval, run_folder, os_replace=os.replace):
    """Patch what `attempt` names."""

    def die(number=signal.SIGKILL):
        os.kill(os.getpid(), number)

    def at_step(self, batch, logs=None):
        step = self.step + 1
        if step == attempt.get("step"):
            threading.Timer(attempt.get("delay", 0), die, [attempt.get("signal", signal.SIGKILL)]).start()

    def at_step_end(self, batch, logs, original=interval.Interval.on_train_batch_end):
        original(self, batch, logs)
        if "seconds" in attempt:
            threading.Timer(attempt.pop("seconds"), die).start()

    def at_begin(self, logs=None, original=interval.Interval.on_train_begin):
        original(self)
        if "full" in attempt:
            Path(attempt["full"]).unlink(missing_ok=True)
            Path(attempt["full"]).symlink_to("/dev/full")
        if "gone" in attempt:
            os.rename(attempt["gone"], attempt["gone"] + "_away")

    def replace(source, target):
        if "checkpoint" in attempt and Path(target).name == f"step_{attempt['checkpoint']:08d}.npz":
            if attempt["stage"] == "half":
                os.truncate(source, os.path.getsize(source) // 2)
            if attempt["stage"] == "renamed":
                os_replace(source, target)
            die()
        os_replace(source, target)

    def at_end(self, epoch, logs=None, original=interval.Interval.on_epoch_end):
        if self.step == attempt.get("epoch"):
            die()
        original(self, epoch, logs)

    def add_row(self, row, original=run_folder.RunFolder.add_row):
        original(self, row)
        if row["step"] == attempt.get("row"):
            die()

    interval.Interval.on_train_begin = at_begin
    interval.Interval.on_train_batch_begin = at_step
    interval.Interval.on_epoch_end = at_end
    run_folder.RunFolder.add_row = add_row
    interval.Interval.on_train_batch_end = at_step_end
    os.replace = replace


def attempt_it(attempt, output):
    """In the child."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.alarm(600)  # an attempt that hangs must not hang the tests
    status = 1
    try:
        from clicv2_keras.cli.main import main
        from clicv2_keras.training import run_folder
        from clicv2_keras.training.callbacks import interval

        if attempt.get("eager"):
            import tensorflow as tf

            tf.config.run_functions_eagerly(True)  # tracing the step takes longer than a few steps
        befall(attempt, interval, run_folder)
        main(attempt["args"])
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def begin(attempt):
    """Fork; the child's id and the pipe that it prints to."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        attempt_it(attempt, writing)
    os.close(writing)
    return attempt, child, reading


def end(attempt, child, reading):
    """Wait for the child, and say what became of it."""
    with os.fdopen(reading, errors="replace") as pipe:
        output = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if "gone" in attempt:
        os.rename(attempt["gone"] + "_away", attempt["gone"])
    return {"status": status, "output": output}


if __name__ == "__main__":
    from clicv2_keras.utils.backend import choose_backend

    choose_backend()
    import matplotlib.figure  # noqa: F401

    import clicv2_keras.training.build
    import clicv2_keras.training.callbacks.reports
    import clicv2_keras.training.callbacks.safeguards  # noqa: F401

    beside = []
    for attempt in map(json.loads, sys.stdin):
        begun = begin(attempt)
        if attempt.get("beside"):
            beside.append(begun)
        else:
            print(json.dumps(end(*begun)), flush=True)
    for begun in beside:
        print(json.dumps(end(*begun)), flush=True)
