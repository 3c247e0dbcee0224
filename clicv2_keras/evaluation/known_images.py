from typing import NamedTuple

import numpy as np

from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.models.find_model import encoder_of
from clicv2_keras.utils.fingerprints import Fingerprints

SILENT = "this model does not say what it was fitted to: its own score may have seen these labels"


class KnownImages(NamedTuple):
    """Which images a model was fitted to, by their labels: what it says of them is no evidence.

    `score` bool (n,) tells of its own score, `features` (n,) of the encoder's features, which labels fit by
    `finetune --whole` alone. `silent` says that the model's file does not tell.
    """

    score: np.ndarray
    features: np.ndarray
    silent: bool

    @classmethod
    def of(cls, model, codes):
        """Of what `find_model` returns, among images of the fingerprints uint8 (n, 194)."""
        encoder = encoder_of(model)
        fitted = isinstance(model, ComplexityScorer) and isinstance(model.head, LinearHead)
        parts = [encoder.fitted_to, model.head.fitted_to] if fitted else [encoder.fitted_to]
        encoder_knows, *head_knows = ((part or Fingerprints()).known(codes) for part in parts)
        score = np.any([encoder_knows, *head_knows], axis=0)
        return cls(score, encoder_knows, fitted and None in parts)
