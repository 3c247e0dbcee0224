"""The programs of examples/ do what their first lines say, on small pictures."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from code_blocks import ROOT
from load_program import load_program
from PIL import Image, ImageCms

from clicv2_keras.utils.procedural import procedural_image

EXAMPLES = ROOT / "examples"
DEVICES = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")


def load(name):
    return load_program(EXAMPLES / f"{name}.py")


@pytest.fixture
def folder(tmp_path):
    """Ten pictures, one of them blank, in two folders."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    Image.new("RGB", (96, 96), "teal").save(folder / "blank.png")
    for i in range(9):
        Image.fromarray(procedural_image(i, 96)[0]).save(folder / ("more" if i % 2 else "") / f"{i}.jpg", quality=95)
    return folder


@pytest.fixture
def table(tmp_path):
    """Ten files and their scores, the last of which could not be scored."""
    rows = [f"{i}.png,{i / 10},96,96," for i in (3, 1, 8, 0, 5, 7, 2, 6, 4)]
    (tmp_path / "scores.csv").write_text("\n".join(["file,score,width,height,error", *rows, "x.png,,,,broken", ""]))
    return tmp_path / "scores.csv"


def test_busy_pictures_are_compressed_harder(folder, tmp_path):
    example = load("adaptive_jpeg")
    assert [example.quality(score) for score in (0, 0.1, 0.4, 0.7, 1)] == [92, 92, 80, 68, 68]
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    rows = example.recompress(folder, tmp_path / "out")
    written = {file.stat().st_size for file in (tmp_path / "out").rglob("*.jpg")}
    assert len(rows) == 10 and {size for *_, size in rows} == written
    qualities = [quality for _, _, quality, _ in sorted(rows, key=lambda row: row[1])]
    assert qualities == sorted(qualities, reverse=True) and qualities[0] > qualities[-1]
    assert Image.open(tmp_path / "out" / "more" / "1.jpg.jpg").size == (96, 96)
    # Nothing is replaced, and a.jpg and a.png are two.
    Image.open(folder / "more" / "1.jpg").save(folder / "more" / "1.png")
    ((file, *_),) = example.recompress(folder, tmp_path / "out")
    assert file.endswith("1.png") and (tmp_path / "out" / "more" / "1.png.jpg").exists()
    # Nor is what was written compressed once more, or a picture of 16 bits made white.
    ramp = np.linspace(0, 65535, 96 * 96).reshape(96, 96).astype("uint16")
    Image.fromarray(ramp).save(folder / "deep.png")
    for count in (12, 0):
        assert len(example.recompress(folder, folder / "below")) == count
    with Image.open(folder / "below" / "deep.png.jpg") as written:
        assert abs(np.asarray(written.convert("L")).mean() - 127.5) < 2


def test_a_colour_profile_is_kept(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "in").mkdir()
    for name, mode in (("a.jpg", "RGB"), ("b.jpg", "L")):
        Image.new(mode, (96, 96)).save(tmp_path / "in" / name, icc_profile=profile)
    load("adaptive_jpeg").recompress(tmp_path / "in", tmp_path / "out")
    found = [Image.open(tmp_path / "out" / f"{name}.jpg.jpg").info.get("icc_profile") for name in "ab"]
    assert found == [profile, None]


def test_pytorch_begins_with_the_simple_pictures(table):
    example = load("curriculum_torch")
    scored = example.read_scores(table)
    assert len(scored) == 9
    curriculum = example.Curriculum([score for _, score in scored], epochs=4)
    seen = []
    for curriculum.epoch in range(5):
        chosen = [scored[i][1] for i in curriculum]
        assert len(chosen) == len(curriculum) == len(set(chosen))
        seen.append(sorted(chosen))
    assert seen[0] == [0.0, 0.1, 0.2] and seen[1] == seen[3][:5]
    assert seen[3] == seen[4] == sorted(score for _, score in scored)


@pytest.mark.parametrize(("name", "page"), [("raspberry_pi.py", "python"), ("android/Complexity.kt", "kotlin")])
def test_listings_are_those_of_the_page(name, page):
    """docs/devices.md's Python is run by test_devices_doc.py."""
    assert (EXAMPLES / name).read_text(encoding="utf-8") in re.findall(rf"```{page}\n(.*?)```", DEVICES, re.S)


def run(folder, *command, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_pydataset_is_fitted(backend, folder):
    out = run(folder.parent, EXAMPLES / "fit_pydataset.py", folder, "1", KERAS_BACKEND=backend)
    assert "embeddings (10, 192)" in out and (folder.parent / "encoder.keras").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curriculum_torch.py", "curriculum_tf.py"])
def test_epochs_grow_from_simple_to_busy(name, folder):
    run(folder.parent, "-m", "clicv2_keras", "score", folder, "--output", "scores.csv")
    out = run(folder.parent, EXAMPLES / name, "scores.csv")
    epochs = [(int(n), float(mean)) for n, mean in re.findall(r"(\d+) pictures, mean complexity ([\d.]+)", out)]
    assert len(epochs) == 4 and epochs == sorted(epochs) and epochs[0] < epochs[-1]
    assert epochs[-1][0] == (10 if "torch" in name else 9), "tf.data leaves the emptiest tenth out"


@pytest.mark.slow
@pytest.mark.long
def test_the_notebook_runs_from_start_to_end(monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "complexity.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    printed = "".join(output.text for output in cells[-1].outputs if output.get("name") == "stdout")
    # TensorFlow's own words come before.
    assert 0 < float(printed.split()[-1]) < 1
