import csv
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from clicv2_keras.cli.main import main
from clicv2_keras.evaluation.class_probe import top1
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.procedural import procedural_image


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


def test_the_command_writes_what_it_prints(tiny_encoder, imagenet, tmp_path):
    tiny_encoder.save(tmp_path / "encoder.keras")
    command = ["evaluate", str(tmp_path / "encoder.keras"), "--dataset", "imagenet", "--root", str(imagenet)]
    result = CliRunner().invoke(main, [*command, "--per-class", "6", "--output", str(tmp_path / "new" / "out")])
    assert result.exit_code == 0, result.output
    with open(tmp_path / "new" / "out" / "top1.csv", newline="") as file:
        rows = {row["features"]: float(row["top1"]) for row in csv.DictReader(file)}
    assert list(rows) == ["model", "untrained", "chance"] and rows["chance"] == 0.5
    assert f"model {rows['model']:.3f}  untrained {rows['untrained']:.3f}" in result.stdout


def test_mistakes_in_one_line(tiny_encoder, imagenet):
    with pytest.raises(UserError, match="needs two or more folders, one a class"):
        top1(tiny_encoder, imagenet / "train", progress=False)
    with pytest.raises(UserError, match="root: is missing"):
        top1(tiny_encoder, progress=False)
    (imagenet / "val" / "n03").mkdir()
    Image.new("RGB", (8, 8)).save(imagenet / "val" / "n03" / "a.png")
    with pytest.raises(UserError, match="val has 1 classes that train has not: n03"):
        top1(tiny_encoder, imagenet, progress=False)
    shutil.rmtree(imagenet / "val" / "n03")
    for part, says in (("val/*", "2 classes of train and 0 images of val"), ("train/n01", "1 classes of train and 0")):
        for path in imagenet.glob(f"{part}/*.png"):
            path.write_bytes(b"broken")
        with pytest.raises(UserError, match=f"{says}.* can be read; top-1 needs 2 and 1"):
            top1(tiny_encoder, imagenet, progress=False)
