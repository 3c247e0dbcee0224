import pytest
from PIL import Image

from clicv2_keras.data.procedural import procedural_image
from clicv2_keras.errors import UserError
from clicv2_keras.evaluate.class_probe import top1


@pytest.fixture
def imagenet(tmp_path):
    """Two classes, one all red and one all green in tone: nothing but content tells them apart."""
    for number, (split, name) in enumerate((s, c) for s in ("train", "val") for c in ("n01", "n02")):
        folder = tmp_path / split / name
        folder.mkdir(parents=True)
        for i in range(12):
            pixels = procedural_image(100 * number + i, 32)[0] // 2
            pixels[..., 0 if name == "n01" else 1] += 120
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path


def test_a_linear_probe_on_the_layout_of_imagenet(tiny_encoder, imagenet):
    (imagenet / "val" / "n01" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    found = top1(tiny_encoder, imagenet, progress=False)
    assert found.model > 0.9 and found.chance == pytest.approx(12 / 23)
    assert "24 images of train" in found.notes[0] and "23 of val" in found.notes[0]
    assert "0.png" in found.notes[1]
    assert "6 images of train, judged on 6 of val" in top1(tiny_encoder, imagenet, 3, progress=False).notes[0]


def test_mistakes_in_one_line(tiny_encoder, imagenet):
    with pytest.raises(UserError, match="needs two or more folders, one a class"):
        top1(tiny_encoder, imagenet / "train", progress=False)
    (imagenet / "val" / "n03").mkdir()
    Image.new("RGB", (8, 8)).save(imagenet / "val" / "n03" / "a.png")
    with pytest.raises(UserError, match="val has 1 classes that train has not: n03"):
        top1(tiny_encoder, imagenet, progress=False)
