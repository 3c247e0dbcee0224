import pytest

from clicv2_keras.deployment.scoring.scorer import Scorer


@pytest.fixture(scope="session")
def scorer():
    return Scorer()
