"""Ablation: a recipe in; its variants over several seeds, compared, out. `clicv2_keras.ablate(recipe)` runs it."""

import importlib
import sys

from clicv2_keras.verb import Verb

_HOMES = {"ablate": "run", "dry_run": "plan", "Ablation": "ablation"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb


def __getattr__(name):
    # On demand: a recipe names its backend before keras is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
