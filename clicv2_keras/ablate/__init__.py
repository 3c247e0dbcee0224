"""Ablation: a recipe in; its variants over several seeds, compared, out. `clicv2_keras.ablate(recipe)` runs it."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"ablate": "run", "dry_run": "plan", "Ablation": "ablation"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
