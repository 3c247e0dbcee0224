"""Shared fixtures. `KERAS_BACKEND` chooses the backend of the process; TensorFlow where it says nothing."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

DATA = Path(os.environ.get("CLICV2_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    """Four uint8 images of 32 x 32 pixels."""
    return rng.integers(0, 256, (4, 32, 32, 3)).astype("uint8")


@pytest.fixture(scope="session")
def real_data():
    """The folder of real images, which is not part of the repository."""
    if not (DATA / "corpus.csv").exists():
        pytest.skip(f"the real images are not here: {DATA} (set CLICV2_DATA)")
    return DATA
