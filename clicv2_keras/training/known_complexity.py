"""Do the features know how complex an image is? Asked of procedural images, whose complexity is known."""

import numpy as np

from clicv2_keras.data.pipeline import load_images
from clicv2_keras.data.sources import open_source
from clicv2_keras.evaluation.category_ridge import CategoryRidge
from clicv2_keras.evaluation.metrics import pcc, srcc
from clicv2_keras.layers import PatchEntropy
from clicv2_keras.training.build import build_encoder

IMAGES = 1000
# Far from any recipe's seed that people take, so that none of these images was trained on.
UNSEEN_SEED = 2**31 - 1


def known_complexity(recipe, model):
    """Compare the trained encoder, the same at random initialisation and mean patch entropy, through one ridge.

    The ridge is fitted on 1,000 unseen procedural images and judged on 1,000 others.

    Returns:
        Rows of what the features are, and PCC and SRCC with the known complexity, floats -1 to 1.
    """
    source = open_source("procedural", num_images=2 * IMAGES, image_size=recipe.data.image_size, seed=UNSEEN_SEED)
    indices = range(2 * IMAGES)
    images = load_images(source, indices, recipe.data.image_size)
    known = np.array([source.complexity(i) for i in indices])
    # A copy: the model's own may be spread over devices that take no single image.
    encoder = build_encoder(recipe)
    encoder.set_weights(model.encoder.get_weights())
    features = {
        "trained encoder": _mean_token(encoder, images),
        "the same at random initialisation": _mean_token(encoder.untrained(recipe.seed), images),
        "mean patch entropy": _mean_entropy(images, model.encoder.patch_size),
    }
    rows = []
    for name, values in features.items():
        ridge = CategoryRidge().fit(values[:IMAGES], known[:IMAGES])
        predicted = ridge.predict(values[IMAGES:])
        rows.append((name, *(float(metric(predicted, known[IMAGES:])) for metric in (pcc, srcc))))
    return rows


def _mean_token(encoder, images):
    return encoder.predict(images, batch_size=100, verbose=0).astype("float32").mean(axis=1)


def _mean_entropy(images, patch_size):
    entropy = PatchEntropy(patch_size)
    batches = [np.asarray(entropy(images[i : i + 100])) for i in range(0, len(images), 100)]
    return np.concatenate(batches).mean(axis=1, keepdims=True)
