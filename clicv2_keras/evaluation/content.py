"""How much of what images show, rather than how complex they are, the features give away."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2_keras.data.reading import load_images
from clicv2_keras.evaluation.features import BATCH
from clicv2_keras.layers import ShiftedPatchify
from clicv2_keras.models.kept_weights_jax import KeptWeights
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage

RETRIEVED = 128


class Content(NamedTuple):
    """How often features tell one of `among` contents, 0 to 1, by key: those of the model, those of the untrained
    encoder (the mean of several, None of none), and by chance."""

    key: str
    model: float
    untrained: float | None
    chance: float
    among: int


def measure_content(encoder, data, features, untrained, seed=0, batch_size=BATCH):
    """What the features tell of the content.

    Args:
        encoder: a `ViTEncoder`.
        data: `ScoredImages`, and their `Features`.
        untrained: the `UntrainedEncoders` of those features.
        seed: of the folds, the images and the shifts.
        batch_size: images that an encoder sees at a time.

    Returns:
        A list of `Content`: `category_accuracy`, but where the categories are too few or too small, and
        `token_retrieval`.

    Raises:
        UserError: where an image that was read before cannot be now.
    """
    found = []
    names, counts = np.unique(data.categories, return_counts=True)
    accuracy = category_accuracy(features.model.parts["token"], data.categories, seed)
    if accuracy is not None:
        others = [category_accuracy(read.parts["token"], data.categories, seed) for read in features.untrained]
        chance = float(counts.max() / counts.sum())
        found.append(Content("category_accuracy", accuracy, _mean(others), chance, len(names)))
    chosen = np.random.default_rng(seed).permutation(len(data))[:RETRIEVED]
    try:
        images = load_images(data.source, chosen, encoder.image_size)
    except UnreadableImage as error:
        raise UserError(f"{data.name}: was read before and cannot be now: {error}") from None
    retrieved = token_retrieval(PatchEncoder(encoder), images, seed, batch_size)
    blank = PatchEncoder(untrained.encoder) if untrained else None
    others = [token_retrieval(blank, images, seed, batch_size) for _ in untrained]
    found.append(Content("token_retrieval", retrieved, _mean(others), 1 / len(chosen), len(chosen)))
    return found


def linear_probe():
    """The usual one, not fitted yet: a linear classifier on standardised features (n, D)."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def category_accuracy(features, categories, seed=0):
    """How often a linear probe names the category of an unseen image, in 5-fold cross-validation: 0 to 1.

    Returns None where a category has fewer than 5 images, or there is one alone.
    """
    names, counts = np.unique(categories, return_counts=True)
    if len(names) < 2 or counts.min() < 5:
        return None
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_predict(linear_probe(), features, categories, cv=folds) == categories))


class PatchEncoder(KeptWeights, keras.Model):
    """Patches (B, N, 3 P²) to float32 tokens (B, N, D) of an encoder, compiled. It is never saved."""

    def __init__(self, encoder):
        super().__init__(name="patch_encoder")
        self.encoder = encoder
        self.built = True

    def call(self, patches):
        return ops.cast(self.encoder.encode(patches), "float32")


def token_retrieval(patch_encoder, images, seed=0, batch_size=BATCH):
    """How often a token finds the other shifted view of its own image, by cosine: 0 to 1; by chance 1 / B.

    As in training: a token of one shifted view is compared with the tokens at its position in another shifted view of
    every image. Both views are of the same whole image and share its layout, which may be all that is found.

    Args:
        patch_encoder: a `PatchEncoder`.
        images: uint8 (B, S, S, 3), without jitter.
        batch_size: of them that the encoder sees at a time.
    """
    shift = ShiftedPatchify(patch_encoder.encoder.patch_size, seed=seed)
    views = [_unit(patch_encoder, shift(images, training=True), batch_size) for _ in range(2)]
    similarity = np.einsum("bnd,cnd->nbc", *views)
    return float(np.mean(similarity.argmax(axis=-1) == np.arange(len(images))))


def _mean(values):
    return float(np.mean(values)) if values else None


def _unit(patch_encoder, patches, batch_size):
    # A few images at a time: attention over all of them would fill the memory.
    tokens = patch_encoder.predict(ops.convert_to_numpy(patches), batch_size=batch_size, verbose=0)
    return tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
