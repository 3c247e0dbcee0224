"""Distillation: a model and images without labels in, a scorer out. `clicv2_keras.distill(model, ...)` runs it."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"distill": "run"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
