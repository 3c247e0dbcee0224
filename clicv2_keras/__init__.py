"""How complex is an image? CLICv2 (arXiv 2503.06641) on Keras 3.

`clicv2_keras.CLICv2` and the other models need Keras; importing the package alone does not load it.
"""

import importlib

__version__ = "0.1.0"

_MODELS = (
    "CLICv2",
    "ComplexityScorer",
    "ContrastiveBranch",
    "CosineMomentum",
    "DiversityHead",
    "GuideBranch",
    "LinearHead",
    "MaskedEntropyBranch",
    "ViTEncoder",
)
_VERBS = ("prepare", "train", "evaluate", "distill", "finetune", "ablate", "export", "score", "explain", "demo")

__all__ = ["__version__", *_MODELS, *_VERBS]


def __getattr__(name):
    if name in _MODELS:
        return getattr(importlib.import_module("clicv2_keras.models"), name)
    if name in _VERBS:
        # The verb's folder is itself callable: `clicv2_keras.train(recipe)`.
        return importlib.import_module(f"clicv2_keras.{name}")
    raise AttributeError(f"module 'clicv2_keras' has no attribute {name!r}")
