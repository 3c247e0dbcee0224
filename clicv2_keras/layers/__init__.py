"""What a backend computes: Keras layers written in keras.ops alone."""

from clicv2_keras.layers.activation_energy import activation_energy
from clicv2_keras.layers.batch_standardization import BatchStandardization
from clicv2_keras.layers.entropy_decoder import EntropyDecoder
from clicv2_keras.layers.entropy_masking import EntropyMasking
from clicv2_keras.layers.feature_stem import FeatureStem
from clicv2_keras.layers.guide_targets import GuideTargets
from clicv2_keras.layers.leverage import leverage
from clicv2_keras.layers.measure_targets import MeasureTargets
from clicv2_keras.layers.other_complexity import OtherComplexity
from clicv2_keras.layers.patch_entropy import PatchEntropy
from clicv2_keras.layers.patch_read_out import PatchReadOut
from clicv2_keras.layers.patch_statistics import PatchStatistics
from clicv2_keras.layers.patchify import patchify
from clicv2_keras.layers.positions import sincos_positions
from clicv2_keras.layers.projection_head import ProjectionHead
from clicv2_keras.layers.random_views import RandomViews
from clicv2_keras.layers.shifted_patchify import ShiftedPatchify
from clicv2_keras.layers.transformer_block import TransformerBlock

__all__ = [
    "BatchStandardization",
    "EntropyDecoder",
    "EntropyMasking",
    "FeatureStem",
    "GuideTargets",
    "MeasureTargets",
    "OtherComplexity",
    "PatchEntropy",
    "PatchReadOut",
    "PatchStatistics",
    "ProjectionHead",
    "RandomViews",
    "ShiftedPatchify",
    "TransformerBlock",
    "activation_energy",
    "leverage",
    "patchify",
    "sincos_positions",
]
