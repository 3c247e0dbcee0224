"""Whose files an evaluation replaces in its folder: those of another evaluation, and nobody else's."""

import os
import re

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import check_replaceable, check_writable_folder, user_path

REPORT = ("table.csv", "predictions.csv", "report.html")
TOP1 = ("top1.csv",)
# How each begins.
_BEGINS = {
    "table.csv": rb"group,predictor,part,metric,",
    "predictions.csv": rb"file,category,human\b",
    "report.html": rb"(?s).*: agreement of .* with people</title>",
    "top1.csv": rb"features,top1\s",
}


def check_output(folder, names, kept=()):
    """Find out before the work whether files can be written to a folder.

    Args:
        names: of the files, `REPORT` or `TOP1`.
        kept: what is read, if these are paths, and is never replaced.

    Raises:
        UserError: where the folder is a file or cannot be written, or a file there is none of an evaluation.
    """
    check_writable_folder(folder)
    for name in names:
        path = user_path(folder) / name
        if any(_is_same(path, other) for other in kept):
            raise UserError(f"--output {path}: is what is read; name another folder")
        check_replaceable(path, _is_ours, "evaluate")


def _is_same(path, other):
    # Of what is no path there is no such file either.
    there = other is not None and os.path.exists(user_path(other))
    return there and path.exists() and os.path.samefile(path, user_path(other))


def _is_ours(path):
    with open(path, "rb") as stream:
        return re.match(_BEGINS[path.name], stream.read(2**14)) is not None
