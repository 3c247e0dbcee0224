"""Scoring: pictures in, numbers and maps out, through LiteRT. Neither keras nor TensorFlow is imported.

`clicv2_keras.score(paths)` yields rows, see `run.score`; `Scorer` scores what is in memory.
"""

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
