"""Keras models: the encoder, the pre-trainer, the scorer."""

from clicv2_keras.models.clicv2 import CLICv2
from clicv2_keras.models.complexity_scorer import ComplexityScorer
from clicv2_keras.models.contrastive_branch import ContrastiveBranch
from clicv2_keras.models.cosine_momentum import CosineMomentum
from clicv2_keras.models.diversity_head import DiversityHead
from clicv2_keras.models.embedder import Embedder
from clicv2_keras.models.feature_maps import FeatureMaps
from clicv2_keras.models.guide_branch import GuideBranch
from clicv2_keras.models.label_branch import LabelBranch
from clicv2_keras.models.linear_head import LinearHead
from clicv2_keras.models.masked_entropy_branch import MaskedEntropyBranch
from clicv2_keras.models.open_feature_maps import open_feature_maps
from clicv2_keras.models.optimizer import ConstantThenDecay, PartlySlowAdamW, PerOptimizerStep
from clicv2_keras.models.vit_encoder import ViTEncoder

__all__ = [
    "CLICv2",
    "ComplexityScorer",
    "ConstantThenDecay",
    "ContrastiveBranch",
    "CosineMomentum",
    "DiversityHead",
    "Embedder",
    "FeatureMaps",
    "GuideBranch",
    "LabelBranch",
    "LinearHead",
    "MaskedEntropyBranch",
    "PartlySlowAdamW",
    "PerOptimizerStep",
    "ViTEncoder",
    "open_feature_maps",
]
