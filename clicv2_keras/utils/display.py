"""What a long piece of work shows: a bar in a terminal, lines elsewhere."""

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from clicv2_keras.utils.text import as_unicode


class Display:
    """Context that shows a bar, in a terminal alone, and lines and tables anywhere.

    Args:
        total: pieces of the whole work.
        done: pieces that are done already.
        label: what stands behind the bar.
        enabled: False shows nothing.
    """

    def __init__(self, total, done=0, label="", enabled=True):
        self.console = Console(quiet=not enabled, highlight=False, soft_wrap=True)
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task(label, total=total, completed=done)

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *exception):
        self.bar.stop()

    @property
    def has_bar(self):
        return self.console.is_terminal

    def update(self, done, label):
        """Move the bar to `done` pieces."""
        self.bar.update(self.task, completed=done, description=label)

    def say(self, line):
        self.console.print(as_unicode(line), markup=False)

    def table(self, title, columns, rows):
        """A table of texts; the first column is aligned to the left."""
        table = Table(title=title, title_justify="left")
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        self.console.print(table)
