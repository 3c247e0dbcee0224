import pytest
from PIL import Image

from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture
def photos(tmp_path):
    """Ten images of 60 x 40 pixels, one of them a PNG with alpha, and two broken ones."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for seed in range(9):
        pixels, _ = procedural_image(seed, 60)
        Image.fromarray(pixels[:40]).save(folder / ("more" if seed % 2 else "") / f"{seed}.jpg", quality=90)
    Image.new("RGBA", (60, 40), (255, 0, 0, 128)).save(folder / "alpha.png")
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "more" / "head.jpg").write_bytes(b"\xff\xd8\xff")
    return folder
