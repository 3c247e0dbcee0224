class Table:
    """Rows for people: score, size and name, a line each.

    Args:
        write: called with each line; `color` is a name for `click.style` or None.
    """

    def __init__(self, write):
        self._write = write
        self._write(f"{'score':>6}  {'pixels':>13}  file", None)

    def add(self, row):
        score = "" if row.score is None else f"{row.score:.3f}"
        size = "" if row.width is None else f"{row.width} × {row.height}"
        line = f"{score:>6}  {size:>13}  {printable(row.file)}"
        self._write(f"{line}: {row.error}" if row.error else line, "red" if row.error else None)


def printable(name):
    """A name that cannot move a terminal's cursor, whatever bytes it is made of."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
