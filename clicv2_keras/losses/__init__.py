"""The two losses of CLICv2, in keras.ops alone. They know nothing of views, files or replicas."""

from clicv2_keras.losses.masked_entropy_loss import MaskedEntropyLoss
from clicv2_keras.losses.patch_contrastive_loss import PatchContrastiveLoss

__all__ = ["MaskedEntropyLoss", "PatchContrastiveLoss"]
