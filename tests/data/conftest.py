import pytest
from PIL import Image

from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture
def photos(tmp_path):
    """A folder of six JPEGs of 60 x 40 pixels: half of them in a folder below, one without an ending to its name."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for seed, name in enumerate(("0", "more/1.jpg", "2.jpg", "more/3.jpg", "4.jpg", "more/5.jpg")):
        pixels, _ = procedural_image(40 + seed, 60)
        Image.fromarray(pixels[:40]).save(folder / name, "JPEG", quality=90)
    return folder
