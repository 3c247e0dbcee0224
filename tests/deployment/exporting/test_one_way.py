"""The same picture gives the same score, whichever way it comes."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_network import tiny_feature_maps

from clicv2_keras.deployment.exporting.run import export
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.layers import FeatureStem
from clicv2_keras.models import ComplexityScorer, ViTEncoder
from clicv2_keras.utils.images import network_input
from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    """A small model with a convolutional stem, as the shipped one has it, in Keras, TFLite and SavedModel."""
    folder = tmp_path_factory.mktemp("ways")
    stem = FeatureStem(tiny_feature_maps().select(max_stride=8))
    encoder = ViTEncoder(image_size=64, patch_size=8, width=16, depth=1, num_heads=2, stem=stem)
    stem.adapt(np.stack([procedural_image(seed, 64)[0] for seed in range(16)]), encoder.grid)
    scorer = ComplexityScorer.label_free(encoder)
    export(scorer, output=folder / "a.tflite")
    served = export(scorer, "saved_model", output=folder / "served").path
    return scorer, Scorer(folder / "a.tflite"), tf.saved_model.load(str(served)).signatures


@pytest.mark.parametrize("size", [(500, 375), (90, 340), (64, 64)])
def test_file_array_image_and_saved_model(ways, tmp_path, size):
    scorer, device, served = ways
    picture = Image.fromarray(procedural_image(sum(size), max(size))[0][: size[1], : size[0]])
    picture.save(tmp_path / "a.png")
    pixels = np.asarray(picture)
    expected = scorer.predict(network_input(picture, scorer.encoder.image_size)[None], verbose=0)["score"][0]
    scores = [
        device.score(tmp_path / "a.png").score,
        device.score(pixels).score,
        device.score(picture).score,
        device.score((tmp_path / "a.png").read_bytes()).score,
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    in_graph = [
        served["serving_default"](images=tf.constant(pixels[None]))["score"][0],
        served["serving_bytes"](image_bytes=tf.constant([(tmp_path / "a.png").read_bytes()]))["score"][0],
    ]
    # The graph's resize may round a grey level the other way; a convolutional stem makes .0011 of it (.005 is allowed).
    np.testing.assert_allclose(in_graph, expected, atol=2e-3)
