"""The installed command trains on real JPEG files under each backend."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from clicv2_keras.data.procedural import procedural_image

OVERRIDES = (
    "data.image_size=32 encoder.width=16 encoder.depth=1 encoder.num_heads=2 contrast.projector_hidden=16 "
    "contrast.tokens=3 entropy.decoder_width=16 train.batch_size=4 train.steps=5 run.log_every=2 run.dir=run"
).split()


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_trains(tmp_path, backend):
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(6):
        Image.fromarray(procedural_image(seed, 48)[0]).save(images / f"{seed}.jpg")

    def train(*arguments):
        command = [Path(sys.executable).parent / "clicv2-keras", "train", "clicv2_vit_tiny", "--backend", backend]
        for override in (*OVERRIDES, "data.path=images"):
            command += ["--set", override]
        environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
        return subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    result = train()
    assert result.returncode == 0, result.stderr
    assert backend in result.stdout and result.stderr == ""
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "5"]
    assert all(float(row["contrastive_loss"]) > 0 and float(row["entropy_loss"]) > 0 for row in rows)
    assert (tmp_path / "run" / "encoder.keras").stat().st_size > 0
