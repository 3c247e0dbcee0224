"""Words and lines for people."""

import csv
import difflib
import io


def printable(text):
    """One line that cannot move a terminal's cursor, whatever bytes a name in it is made of."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def as_unicode(text):
    """Text in which bytes of a file's name that are no Unicode are escapes: no log and no terminal takes them."""
    return text.encode("utf-8", "backslashreplace").decode()


def unicode_name(file):
    """Parquet's text is Unicode; a file's name may be none."""
    return file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def csv_line(values):
    """A row of a CSV file, that ends with a line feed; None is an empty cell."""
    text = io.StringIO()
    # Python 3.11 quotes only those line breaks in a cell that are in its line's end.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def drawable(text):
    """Text that any font can be asked for: what is no Unicode in a file's name is a question mark."""
    return text.encode("utf-8", "replace").decode()


def did_you_mean(word, names):
    """A question that names the nearest of `names`, with a space behind it; "" where none is near."""
    near = difflib.get_close_matches(str(word), list(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""
