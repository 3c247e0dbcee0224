"""Evaluation: how well a model agrees with people. `clicv2_keras.evaluate(model, ...)` runs it; see `run.evaluate`."""

import importlib
import sys

from clicv2_keras.verb import Verb

_HOMES = {"evaluate": "run", "Evaluation": "evaluation", "top1": "class_probe"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb


def __getattr__(name):
    # On demand: keras takes seconds to import.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
