"""Explaining: images in, maps and saliency out. `clicv2_keras.explain(images)` runs it; see `run.explain`."""

import importlib
import sys

from clicv2_keras.verb import Verb

_HOMES = {"explain": "run", "Explanation": "explanation"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb


def __getattr__(name):
    # On demand: the backend is chosen before keras is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
