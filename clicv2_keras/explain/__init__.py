"""Explaining: images in, maps and saliency out. `clicv2_keras.explain(images)` runs it; see `run.explain`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"explain": "run", "Explanation": "explanation"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
