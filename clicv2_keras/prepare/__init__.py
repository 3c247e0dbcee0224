"""Packing: a folder of images in, records out. `clicv2_keras.prepare(images, output)` does it; see `run.prepare`."""

import importlib
import sys

from clicv2_keras.verb import Verb

_HOMES = {"prepare": "run", "Prepared": "run"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
