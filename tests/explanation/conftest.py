import keras
import numpy as np
import pytest
from PIL import Image

from clicv2_keras.layers import PatchEntropy
from clicv2_keras.models import ComplexityScorer, LinearHead, ViTEncoder

TINY = {"image_size": 64, "patch_size": 8, "width": 16, "depth": 1, "num_heads": 2}


class EntropyHead(keras.layers.Layer):
    """A head without anything learnt: the entropy of the patch itself."""

    def build_for(self, encoder):
        self.built = True

    def patch_scores(self, images, tokens, encoder):
        return PatchEntropy(encoder.patch_size)(images)


@pytest.fixture(scope="session")
def make_scorer():
    """A tiny scorer by its head; keyword arguments go to the encoder."""

    def make(head="diversity", **encoder):
        keras.utils.set_random_seed(0)
        encoder = ViTEncoder(**{**TINY, **encoder})
        if head == "diversity":
            return ComplexityScorer.label_free(encoder)
        if head == "entropy":
            return ComplexityScorer(encoder, EntropyHead())
        scorer = ComplexityScorer(encoder, LinearHead(["token"]))
        scorer.head.kernel.assign(np.random.default_rng(1).normal(0, 1, scorer.head.kernel.shape))
        scorer.head.bias.assign(0.3)
        return scorer

    return make


@pytest.fixture(scope="session")
def scorers(make_scorer):
    """Scorers by their head that no test changes, compiled once."""
    return {head: make_scorer(head) for head in ("diversity", "entropy")}


@pytest.fixture
def busy_corner(tmp_path):
    """Write a photograph, 90 x 60 as it is stored, whose UPRIGHT view is busy at the top left and flat elsewhere."""

    def write(name="photo.jpg", orientation=1, size=(90, 60)):
        width, height = size if orientation < 5 else size[::-1]
        upright = np.full((height, width, 3), 128, "uint8")
        noise = np.random.default_rng(orientation).integers(0, 256, (height // 2, width // 2, 3))
        upright[: height // 2, : width // 2] = noise
        # What a camera stores so that this orientation turns it upright.
        stored = {
            1: lambda a: a,
            2: lambda a: a[:, ::-1],
            3: lambda a: a[::-1, ::-1],
            4: lambda a: a[::-1],
            5: lambda a: a.swapaxes(0, 1),
            6: lambda a: np.rot90(a, 1),
            7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
            8: lambda a: np.rot90(a, -1),
        }[orientation](upright)
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
        return path

    return write
