import pytest

from clicv2_keras.deployment.scoring.scorer import Scorer


@pytest.fixture(scope="session")
def scorer():
    return Scorer()


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    """AWS's client finds none, and asks nobody."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
