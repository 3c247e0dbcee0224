"""What a run shows: a bar in a terminal, a line each log interval elsewhere."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_SHOWN = (
    ("loss", "loss", "{:.3f}"),
    ("contrastive_loss", "contrast", "{:.3f}"),
    ("entropy_loss", "entropy", "{:.3f}"),
    ("embedding_std", "spread", "{:.2f}"),
    ("effective_rank", "rank", "{:.1f}"),
    ("retrieval", "retrieval", "{:.2f}"),
    ("images_per_second", "images/s", "{:.0f}"),
    ("data_wait", "waits for data", "{:.0%}"),
    ("probe_srcc", "probe SRCC", "{:.3f}"),
)


class Display:
    """Context that shows the progress of a run.

    Args:
        steps: of the whole run.
        start: steps already done.
        enabled: False shows nothing.
    """

    def __init__(self, steps, start=0, enabled=True):
        self.console = Console(quiet=not enabled, highlight=False, soft_wrap=True)
        self.steps = steps
        self.speed = {}
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("compiling the step", total=steps, completed=start)

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *exception):
        self.bar.stop()

    def step(self, step, logs):
        """Show the running means of the interval."""
        self.bar.update(self.task, completed=step, description=_line({**logs, **self.speed}))

    def row(self, row):
        """Show a finished interval."""
        self.speed = {key: row[key] for key in ("images_per_second", "data_wait") if key in row}
        if not self.console.is_terminal:
            self.console.print(f"step {row['step']}/{self.steps}  {_line(row)}")

    def say(self, line=""):
        self.console.print(line, markup=False)

    def table(self, title, columns, rows):
        table = Table(title=title, title_justify="left")
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)


def _line(values):
    return "  ".join(f"{label} {form.format(values[key])}" for key, label, form in _SHOWN if key in values)
