import pytest
from PIL import Image

from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.utils.procedural import procedural_image

FORMATS = {"a.jpg": "JPEG", "b.png": "PNG", "more/c.webp": "WEBP", "more/d.gif": "GIF", "more/e.bmp": "BMP"}


@pytest.fixture(scope="session")
def scorer():
    return Scorer()


@pytest.fixture
def photos(tmp_path):
    """Five images of 60 x 40 pixels in five formats, three of them in a folder below."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for seed, (name, kind) in enumerate(FORMATS.items()):
        Image.fromarray(procedural_image(seed, 60)[0][:40]).save(folder / name, kind)
    return folder
