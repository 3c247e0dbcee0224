"""Scores on a terminal: rows for people as they come, and how far the work is."""

import contextlib
import itertools
import threading
import time
from collections import deque

import click

from clicv2_keras.deployment.scoring.rows import Counts, Csv, JsonLines
from clicv2_keras.deployment.scoring.tiles import split_tile
from clicv2_keras.utils.find_images import find_images
from clicv2_keras.utils.text import printable

INTERVAL = 0.2
# The rate is that of the last seconds: rows that a resumed file held already do not count for long.
MEMORY = 10.0
# Characters of the progress bar.
BAR = 20

FORMATS = {"csv": Csv, "jsonl": JsonLines}


def print_rows(rows, paths, maps, form=None, percentiles=None):
    """Print rows as they come: a table on a terminal, CSV on anything else, or as `form`, one of `FORMATS`, says.

    Args:
        percentiles: a `Percentiles`, for a column of that name.

    Returns:
        Their `Counts`.
    """
    stdout, stderr = click.get_text_stream("stdout"), click.get_text_stream("stderr")
    counts = Counts()
    # Before anything is printed: a mistake prints nothing.
    first = next(rows)
    with contextlib.ExitStack() as stack:
        if stdout.isatty() and form is None:
            # The rows themselves show the progress.
            write = lambda line, color: click.echo(click.style(line, fg=color) if color else line)  # noqa: E731
            sinks = [Table(write, percentiles).add]
        else:
            binary = click.get_binary_stream("stdout")
            rows_format = FORMATS[form or "csv"](percentiles=percentiles)
            binary.write(rows_format.header)

            def write(row):
                binary.write(rows_format.encode(row))
                binary.flush()

            sinks = [write]
            if not stdout.isatty():
                sinks.append(stack.enter_context(Progress(paths, maps, stderr)))
        for row in itertools.chain([first], rows):
            counts.add(row)
            for sink in sinks:
                sink(row)
    return counts


class Table:
    """Rows for people: score, size and name, a line each.

    Args:
        write: called with each line; `color` is a name for `click.style` or None.
        percentiles: a `Percentiles`, for a column more.
    """

    def __init__(self, write, percentiles=None):
        self._write = write
        self._percentiles = percentiles
        if percentiles:
            self._write(f"busier than so many percent of {percentiles.photographs}:", None)
        self._write(f"{'score':>6}  {'percentile  ' if percentiles else ''}{'pixels':>13}  file", None)

    def add(self, row):
        score = "" if row.score is None else f"{row.score:.3f}"
        size = "" if row.width is None else f"{row.width} × {row.height}"
        share = ""
        if self._percentiles:
            share = "" if row.score is None else f"{self._percentiles(row.score):.0f} %"
            share = f"{share:>10}  "
        line = f"{score:>6}  {share}{size:>13}  {printable(row.file)}"
        # A server's own words may be in it.
        self._write(f"{line}: {printable(row.error)}" if row.error else line, "red" if row.error else None)


class Progress:
    """A line on a terminal that says how many images are done, how fast, and how long it will take.

    Used as a context; called with each row. How many images there are is counted beside the work.

    Args:
        paths: as for `find_images`; a list on standard input is not counted, it can be read only once.
        leave_out: as for `find_images`.
        stream: the terminal; where it is none, nothing is written.
    """

    def __init__(self, paths, leave_out, stream):
        self._stream = stream
        self._shown = stream.isatty()
        self._total = None
        self._done = 0
        self._tiled = None
        self._next = 0.0
        self._past = deque()
        if self._shown and "-" not in paths:
            threading.Thread(target=self._count, args=(paths, leave_out), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._erase()

    def __call__(self, row):
        # Tiles of one picture come one behind the other.
        file, tile = split_tile(row.file)
        self._done += tile is None or file != self._tiled
        self._tiled = file
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + INTERVAL
            self._past.append((now, self._done))
            while now - self._past[0][0] > MEMORY:
                self._past.popleft()
            self._erase()
            self._stream.write(self._line())
            self._stream.flush()

    def _line(self):
        (start, before), (now, done) = self._past[0], self._past[-1]
        rate = (done - before) / (now - start) if now > start else 0.0
        line = f"{done:,}" + (f" of {self._total:,}" if self._total else "") + " images"
        if rate:
            line += f"  {rate:,.0f}/s"
        if rate and self._total:
            line = f"{_bar(done / self._total)}  {line}  {_clock(max(self._total - done, 0) / rate)} left"
        return line

    def _erase(self):
        if self._shown and self._past:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _count(self, paths, leave_out):
        self._total = sum(1 for _ in find_images(paths, leave_out))


class CorpusProgress:
    """The line of a job's `Summary`: on a terminal one that changes, in a log one each half minute.

    Used as a context; called with the `Summary`.

    Args:
        stream: the terminal or log.
    """

    def __init__(self, stream):
        self._stream = stream
        self._begin, self._end, self._interval = ("\r\x1b[K", "", INTERVAL) if stream.isatty() else ("", "\n", 30)
        self._next = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stream.write(self._begin)

    def __call__(self, summary):
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._stream.write(f"{self._begin}{summary.line()}{self._end}")
            self._stream.flush()


def _bar(share):
    full = min(round(share * BAR), BAR)
    return "█" * full + "░" * (BAR - full)


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
