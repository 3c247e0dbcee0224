"""The installed command on real files; one process, since each loads Keras."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import clicv2_keras
from clicv2_keras.cli.main import main
from clicv2_keras.models import ViTEncoder
from clicv2_keras.utils.procedural import procedural_image


@pytest.mark.slow
def test_explains_images_of_any_size_and_names_the_broken_one(tmp_path):
    for seed, (name, size) in enumerate({"a.jpg": (90, 40), "b.png": (33, 70), "c.webp": (120, 120)}.items()):
        Image.fromarray(procedural_image(seed + 5, 120)[0]).crop((0, 0, *size)).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    command = [Path(sys.executable).parent / "clicv2-keras", "explain", "a.jpg", "broken.jpg", "b.png", "c.webp"]
    ViTEncoder(image_size=64, patch_size=8, width=16, depth=1, num_heads=2).save(tmp_path / "encoder.keras")
    command += ["--model", "encoder.keras", "--saliency", "smoothgrad", "--saliency", "layercam", "--output", "out"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("broken.jpg: ") and result.stderr.count("\n") == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [name for _, name in lines] == ["a.jpg", "b.png", "c.webp"]
    stems = "abc"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{stem}.{ending}" for stem in stems for ending in ("npz", "png")
    ]
    for stem, (score, _) in zip(stems, lines, strict=True):
        with np.load(tmp_path / "out" / f"{stem}.npz") as arrays:
            assert f"{arrays['score']:.3f}" == score
            assert abs(arrays["map"].mean() - arrays["score"]) < 1e-5
            width, height = arrays["size"]
            assert arrays["map_pixels"].shape == arrays["layercam_pixels"].shape == (height, width)
        with Image.open(tmp_path / "out" / f"{stem}.png") as figure:
            figure.load()


def test_mistakes_exit_with_2(tmp_path):
    for arguments, says in (
        ([], "Missing argument"),
        (["a.jpg", "--saliency", "gradcam"], "'gradcam' is not one of"),
        (["a.jpg", "--model", "defualt"], "did you mean default?"),
    ):
        result = CliRunner().invoke(main, ["explain", *arguments])
        assert result.exit_code == 2 and says in result.stderr and result.stdout == ""


def test_a_folder_without_an_image_is_told_as_score_tells_it(tmp_path):
    result = CliRunner().invoke(main, ["explain", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "") and "no image in this folder" in result.stderr


def test_what_is_written_is_not_kept(photos, monkeypatch):
    kept = []
    explain = clicv2_keras.explain
    monkeypatch.setattr(clicv2_keras, "explain", lambda *a: kept.extend(explain(*a)) or kept)
    result = CliRunner().invoke(main, ["explain", str(photos), "--output", str(photos.parent / "out")])
    assert result.exit_code == 0 and len(kept) == len(list((photos.parent / "out").glob("*.npz"))) == 5
    assert not any(explanation.grids for explanation in kept)
