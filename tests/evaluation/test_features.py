import numpy as np
import pytest
from PIL import Image

from clicv2_keras.evaluation.features import FeatureExtractor
from clicv2_keras.models import CLICv2, ComplexityScorer, DiversityHead, LinearHead, MaskedEntropyBranch
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage


class Broken:
    """A source of images of which the number 2 cannot be read."""

    def __init__(self, pixels, broken=(2,)):
        self.pixels, self.broken = pixels, broken

    def __len__(self):
        return len(self.pixels)

    def name(self, index):
        return f"{index}.png"

    def load(self, index, at_least=None):
        if index in self.broken:
            raise UnreadableImage("no image")
        return Image.fromarray(self.pixels[index])


def test_a_diversity_head_is_judged_with_its_own_strength(tiny_encoder, rng):
    pixels = rng.integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    model = ComplexityScorer(tiny_encoder, DiversityHead(0.5))
    features = FeatureExtractor(model, untrained_seeds=[3]).extract(Broken(pixels, broken=()))
    expected = model.predict(pixels, verbose=0)["score"]
    np.testing.assert_allclose(features.model.scores["diversity"], expected, atol=1e-5)
    usual = ComplexityScorer.label_free(tiny_encoder).predict(pixels, verbose=0)["score"]
    assert np.abs(expected - usual).min() > 0.01


@pytest.mark.parametrize("head", ["fitted", "masked_entropy"])
def test_the_features_are_the_encoders_and_the_scores_the_heads(tiny_encoder, rng, head):
    """Of images with a broken one between."""
    pixels = rng.integers(0, 256, (6, 32, 32, 3)).astype("uint8")
    if head == "fitted":
        model = ComplexityScorer(tiny_encoder, LinearHead())
        model.head.kernel.assign(rng.normal(0, 0.3, model.head.kernel.shape))
        expected = model.predict(pixels, verbose=0)["score"]
    else:
        model = CLICv2(tiny_encoder, contrast=None, entropy=MaskedEntropyBranch(decoder_depth=1, decoder_width=32))
        expected = ComplexityScorer(tiny_encoder, model.entropy).predict(pixels, verbose=0)["score"]
    found = FeatureExtractor(model, untrained_seeds=(3, 4), pixels=("entropy", "handcrafted")).extract(Broken(pixels))
    there = [0, 1, 3, 4, 5]
    assert found.index.tolist() == there and [read.name for read in found.unreadable] == ["2.png"]
    tokens = tiny_encoder.predict(pixels, verbose=0)[there]
    np.testing.assert_allclose(found.model.parts["token"], tokens.mean(axis=1), atol=1e-5)
    assert found.model.features.shape == (5, 16 + 16 + 2)
    np.testing.assert_allclose(found.model.scores[head], expected[there], atol=1e-5)
    blank = tiny_encoder.untrained(4).predict(pixels, verbose=0)[there]
    np.testing.assert_allclose(found.untrained[1].parts["token"], blank.mean(axis=1), atol=1e-5)
    assert found.pixels["entropy_statistics"].shape == (5, 4) and len(found.pixels) == 2 + 8


def test_an_image_that_is_refused_leaves_the_model_its_weights(tiny_encoder, rng):
    """On JAX Keras empties a model while it runs."""
    extractor = FeatureExtractor(tiny_encoder)
    before = tiny_encoder.get_weights()
    network = extractor.judged._network
    for call in (network.predict, network.predict_on_batch):
        with pytest.raises(Exception, match="shape|size|divide"):
            call(rng.integers(0, 256, (2, 33, 33, 3)).astype("uint8"))
    for mine, theirs in zip(tiny_encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_where_nothing_can_be_read_one_line_says_so(tiny_encoder):
    with pytest.raises(UserError, match=r"0\.png and all 2 images with it are unreadable: no image"):
        FeatureExtractor(tiny_encoder).extract(Broken(np.zeros((2, 32, 32, 3), "uint8"), broken=(0, 1)))
