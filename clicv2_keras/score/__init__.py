"""Scoring: pictures in, numbers and maps out, through LiteRT. Neither keras nor TensorFlow is imported.

`clicv2_keras.score(paths)` yields rows, see `run.score`; `Scorer` scores what is in memory.
"""

import importlib
import sys

from clicv2_keras.verb import Verb

_HOMES = {
    "score": "run",
    "to_file": "run",
    "Scorer": "scorer",
    "Score": "scorer",
    "Row": "row",
    "Counts": "row",
    "measure": "measurement",
}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb


def __getattr__(name):
    # On demand: NumPy, Pillow and LiteRT load only where something is scored.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
