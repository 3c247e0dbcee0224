"""What evaluation asks of a model, whether Keras holds it or a `.tflite` file."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from clicv2_keras.deployment.scoring.network import Network
from clicv2_keras.layers import PatchReadOut
from clicv2_keras.layers.patch_read_out import PARTS
from clicv2_keras.models import CLICv2, ComplexityScorer, DiversityHead, MaskedEntropyBranch
from clicv2_keras.models.find_model import encoder_of, find_model, fitted_head_of, fitted_to_of, scorer_of
from clicv2_keras.models.kept_weights_jax import KeptWeights
from clicv2_keras.utils.device_scope import device_scope, refuse_device
from clicv2_keras.utils.fingerprints import Fingerprints
from clicv2_keras.utils.tflite_file import is_tflite, read_fitted_to
from clicv2_keras.utils.threads import ordered_map, share_cores


class KnownImages(NamedTuple):
    """Which images a model was fitted to, by their labels: what it says of them is no evidence.

    `score` bool (n,) tells of its fitted score, `features` (n,) of the encoder's features, which labels fit by
    `finetune --whole` alone. `silent` says that the model's file does not tell.
    """

    score: np.ndarray
    features: np.ndarray
    silent: bool

    @classmethod
    def of(cls, fitted_to, fitted, codes):
        """Of a model whose `encoder` and `head` were fitted to these `Fingerprints`, or None where it does not tell.

        Args:
            fitted_to: dict by those names.
            fitted: whether it has a fitted score.
            codes: uint8 (n, 194), the fingerprints of the images that are asked for.
        """
        encoder, head = ((fitted_to[part] or Fingerprints()).known(codes) for part in ("encoder", "head"))
        return cls(encoder | head, encoder, fitted and None in fitted_to.values())


class KerasModel:
    """A `ComplexityScorer`, `CLICv2` or `ViTEncoder`, compiled once for many calls.

    Attributes:
        model: that.
        device: the one that it lies on, see `device_scope`, where that is not the backend's own choice.
        encoder: its `ViTEncoder`; where the weights change, so do the read-outs.
        image_size, patch_size: sides in pixels.
        mapped: key of the predictor that is the mean of its map.
        label_range: lowest and highest label that its score was fitted to; None where it was fitted to none.
        saw_labels: whether human labels trained its encoder.
    """

    def __init__(self, model, device=None):
        self.encoder = encoder_of(model)
        self.image_size, self.patch_size = self.encoder.image_size, self.encoder.patch_size
        self.model, self.device = model, device
        self._network = ReadOutNetwork(self.encoder, _heads(model))

    @property
    def mapped(self):
        if fitted_head_of(self.model) is not None:
            return "label_free" if self.label_range is None else "fitted"
        return "masked_entropy" if isinstance(getattr(self.model, "head", None), MaskedEntropyBranch) else "diversity"

    @property
    def label_range(self):
        head = fitted_head_of(self.model)
        return None if head is None else head.label_range

    @property
    def saw_labels(self):
        return bool(self.encoder.fitted_to)

    def read_outs(self, images):
        """Of uint8 images (B, S, S, 3): `parts` by name (B, F) and `scores` by head (B,)."""
        return self._network.predict_on_batch(images)

    def maps(self, images):
        """Of uint8 images (B, S, S, 3): float32 (B, rows, columns), whose mean is the score."""
        # Asked by the report, when the context of the evaluation's device has ended.
        with device_scope(self.device):
            # Called as it is: to compile it for a dozen images would take longer.
            return ops.convert_to_numpy(scorer_of(self.model)(images)["map"])

    def known(self, codes):
        """The `KnownImages` among images of the fingerprints uint8 (n, 194)."""
        return KnownImages.of(fitted_to_of(self.model), self.mapped == "fitted", codes)


class TFLiteModel:
    """A `.tflite` file of this package: its score as it is computed on devices, and its embedding, the mean token.

    It has no encoder that could be initialised again or be given shifted views. Attributes as of `KerasModel`.

    Args:
        path: the file.

    Raises:
        UserError: where it is none, or broken.
    """

    encoder = None

    def __init__(self, path):
        self._network = Network(path)
        self.image_size = self._network.image_size
        rows, _ = self._network(np.zeros((self.image_size, self.image_size, 3), np.uint8))["map"].shape[1:]
        self.patch_size = self.image_size // rows
        label_range = self._network.metadata["label_range"]
        self.label_range = None if label_range is None else tuple(label_range)
        self.mapped = "label_free" if label_range is None else "fitted"
        self._fitted_to = read_fitted_to(path)
        self.saw_labels = bool(self._fitted_to["encoder"])

    def read_outs(self, images):
        found = self._run(images)
        return {
            "parts": {"token": np.concatenate([each["embedding"] for each in found])},
            "scores": {self.mapped: np.concatenate([each["score"] for each in found])},
        }

    def maps(self, images):
        return np.concatenate([each["map"] for each in self._run(images)])

    def known(self, codes):
        return KnownImages.of(self._fitted_to, self.mapped == "fitted", codes)

    def _run(self, images):
        workers, _ = share_cores()
        return list(ordered_map(self._network, images, workers))


def judged_model(model, device=None):
    """The `KerasModel` or `TFLiteModel` of what `evaluate` takes: a `.tflite` file, or see `find_model`."""
    if isinstance(model, KerasModel | TFLiteModel):
        return model
    if not is_tflite(model):
        return KerasModel(find_model(model), device)
    refuse_device(device, model)
    return TFLiteModel(model)


class ReadOutNetwork(KeptWeights, keras.Model):
    """An encoder's read-outs and the scores of heads on it, compiled as one. It is never saved."""

    def __init__(self, encoder, heads):
        super().__init__(name="features")
        self.encoder = encoder
        self.heads = heads
        for head in heads.values():
            if not head.built:
                head.build_for(encoder)
        self.built = True

    def call(self, images):
        tokens = ops.cast(self.encoder(images), "float32")
        return {
            "parts": {part: ops.mean(PatchReadOut.read(part, tokens), axis=1) for part in PARTS},
            "scores": {
                name: ops.mean(head.patch_scores(images, tokens, self.encoder), axis=1)
                for name, head in self.heads.items()
            },
        }


def diversity_head(model):
    """The `DiversityHead` of what `find_model` returns, with its own strength where it has one."""
    head = getattr(model, "head", None)
    return head if isinstance(head, DiversityHead) else DiversityHead()


def _heads(model):
    """The heads whose scores are a model's own, by name."""
    heads = {"diversity": diversity_head(model)}
    if (fitted := fitted_head_of(model)) is not None:
        heads["label_free" if fitted.label_range is None else "fitted"] = fitted
    own = model.head if isinstance(model, ComplexityScorer) else model.entropy if isinstance(model, CLICv2) else None
    if isinstance(own, MaskedEntropyBranch) and own.predicts_patches:
        heads["masked_entropy"] = own
    return heads
