from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Display:
    """Context that shows how many images are packed: a bar in a terminal, nothing but the summary elsewhere.

    Args:
        total: images in all.
        done: images that are packed already.
        enabled: False shows nothing.
    """

    def __init__(self, total, done=0, enabled=True):
        self.console = Console(quiet=not enabled, highlight=False, soft_wrap=True)
        columns = BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("images", total=total, completed=done)
        self.bad = 0

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *exception):
        self.bar.stop()

    def step(self, bad):
        """One image more."""
        self.bad += bad
        self.bar.update(self.task, advance=1, description=f"images, {self.bad} bad" if self.bad else "images")

    def say(self, line):
        self.console.print(line, markup=False)
