"""Export: a model in; a SavedModel or a TFLite file out. `clicv2_keras.export(model)` runs it; see `run.export`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"export": "run", "Parity": "parity"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
