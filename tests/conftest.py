"""Shared fixtures. `KERAS_BACKEND` chooses the backend of the process; TensorFlow where it says nothing."""

import os
import signal
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The workers share the cores: PyTorch's threads, which spin while they wait, took three times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

# A shell's background job has SIGINT ignored, and so have all whom it starts: tests that interrupt would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(os.environ.get("CLICV2_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """What takes minutes first, the suites within the suite above all: at the end one core would wait for the other."""
    items.sort(
        key=lambda item: not item.nodeid.startswith(("tests/test_backends.py", "tests/training/test_quickstart.py"))
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    """Four uint8 images of 32 x 32 pixels."""
    return rng.integers(0, 256, (4, 32, 32, 3)).astype("uint8")


@pytest.fixture
def one_step():
    """On JAX operations one by one: to compile a program for a single step takes many times as long as the step."""
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.disable_jit():
        yield


@pytest.fixture(scope="session")
def real_data():
    """The folder of real images, which is not part of the repository."""
    if not (DATA / "corpus.csv").exists():
        pytest.skip(f"the real images are not here: {DATA} (set CLICV2_DATA)")
    return DATA


@pytest.fixture
def decays(monkeypatch):
    """A function of a model's class: its training learns nothing, and tells which variables the weight decay moved.

    What it returns fills with (dimensions, moved) of each trainable variable that is not 0 throughout.
    """

    def watch(model_class):
        found = []

        def learn_nothing(self, *args, **kwargs):
            from keras import ops

            if found:  # the rate falls to 0, and the decay with it
                return
            variables = self.trainable_variables
            before = [ops.convert_to_numpy(v).copy() for v in variables]
            self.optimizer.apply([ops.zeros(v.shape) for v in variables], variables)
            for variable, old in zip(variables, before, strict=True):
                if old.any():
                    found.append((old.ndim, bool((ops.convert_to_numpy(variable) != old).any())))

        monkeypatch.setattr(model_class, "fit", learn_nothing)
        return found

    return watch


CATEGORIES = ("abstract", "objects", "person")


@pytest.fixture(scope="session")
def tiny_encoder():
    import keras

    from clicv2_keras.models import ViTEncoder

    keras.utils.set_random_seed(0)
    return ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)


@pytest.fixture(scope="session")
def ic9600(tmp_path_factory):
    """60 procedural images in the published layout of IC9600, their known complexity as labels."""
    from PIL import Image

    from clicv2_keras.utils.procedural import procedural_image

    root = tmp_path_factory.mktemp("IC9600")
    (root / "images").mkdir()
    lines = []
    for i in range(60):
        pixels, complexity = procedural_image(i, 48)
        name = f"{CATEGORIES[i % 3]}_{i:04d}.jpg"
        Image.fromarray(pixels).save(root / "images" / name, quality=90)
        lines.append(f"{name}  {complexity:.4f}\n")
    (root / "train.txt").write_text("".join(lines[:36]))
    (root / "test.txt").write_text("".join(lines[36:]))
    return root


FORMATS = {"a.jpg": "JPEG", "b.png": "PNG", "more/c.webp": "WEBP", "more/d.gif": "GIF", "more/e.bmp": "BMP"}


@pytest.fixture
def photos(tmp_path):
    """Five images of 60 x 40 pixels in five formats, three of them in a folder below."""
    from clicv2_keras.utils.procedural import procedural_image

    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for seed, (name, kind) in enumerate(FORMATS.items()):
        Image.fromarray(procedural_image(seed, 60)[0][:40]).save(folder / name, kind)
    return folder


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A `.keras` file of a tiny pretrained network."""
    from tiny_network import tiny_feature_maps

    path = tmp_path_factory.mktemp("network") / "network.keras"
    tiny_feature_maps().save(path)
    return path


@pytest.fixture
def hub_server(tmp_path, monkeypatch):
    """A server that speaks as the Hugging Face Hub does, in the Hub's place, and an empty cache."""
    from hub_server import TOKEN, HubServer
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # Large files go by Git LFS: the other way, Xet, is the library's own, and a service of its own.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
