import contextlib
import itertools

import click

from clicv2_keras.score.progress import Progress
from clicv2_keras.score.row import Counts
from clicv2_keras.score.row_formats import Csv
from clicv2_keras.score.table import Table


def print_rows(rows, paths, maps):
    """Print rows as they come: a table on a terminal, CSV on anything else. Returns their `Counts`."""
    stdout, stderr = click.get_text_stream("stdout"), click.get_text_stream("stderr")
    counts = Counts()
    # Before anything is printed: a mistake prints nothing.
    first = next(rows)
    with contextlib.ExitStack() as stack:
        if stdout.isatty():
            # The rows themselves show the progress.
            sinks = [Table(lambda line, color: click.echo(click.style(line, fg=color) if color else line)).add]
        else:
            binary = click.get_binary_stream("stdout")
            binary.write(Csv.header)

            def write(row):
                binary.write(Csv.encode(row))
                binary.flush()

            sinks = [write, stack.enter_context(Progress(paths, maps, stderr))]
        for row in itertools.chain([first], rows):
            counts.add(row)
            for sink in sinks:
                sink(row)
    return counts
