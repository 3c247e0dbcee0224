"""Training: a recipe in, a run folder out. `clicv2_keras.train(recipe)` runs it; see `run.train`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {
    "train": "run",
    "dry_run": "plan",
    "load_recipe": "recipe_file",
    "Recipe": "recipe",
    "ComplexityProbe": "complexity_probe",
}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
