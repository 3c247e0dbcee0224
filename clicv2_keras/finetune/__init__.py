"""Fine-tuning: labelled images in, a scorer out. `clicv2_keras.finetune(model, ...)` runs it; see `run.finetune`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"finetune": "run"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
