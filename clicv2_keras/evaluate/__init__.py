"""Evaluation: how well a model agrees with people. `clicv2_keras.evaluate(model, ...)` runs it; see `run.evaluate`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"evaluate": "run", "Evaluation": "evaluation", "top1": "class_probe"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
