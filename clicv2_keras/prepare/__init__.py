"""Packing: a folder of images in, records out. `clicv2_keras.prepare(images, output)` does it; see `run.prepare`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"prepare": "run", "Prepared": "run"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
