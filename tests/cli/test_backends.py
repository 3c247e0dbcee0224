"""The installed command trains on real JPEG files under each backend."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from quick_xla import QUICK
from tiny_network import tiny_feature_maps

from clicv2_keras.utils.procedural import procedural_image

OVERRIDES = (
    "data.image_size=32 encoder.width=16 encoder.depth=1 encoder.num_heads=2 contrast.projector_hidden=16 "
    "contrast.tokens=3 entropy.decoder_width=16 train.batch_size=4 train.steps=5 run.log_every=2 run.dir=run "
    "data.jitter=0"
).split()


BACKENDS = ["tensorflow", "jax", "torch"]


@pytest.fixture
def train(tmp_path):
    """A function of the backend and further arguments: trains in a process of its own."""
    (tmp_path / "images").mkdir()
    lines = ["file,score,split\n"]
    for seed in range(24):
        pixels, complexity = procedural_image(seed, 48)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{seed}.jpg")
        lines.append(f"images/{seed}.jpg,{complexity},{'train' if seed < 12 else 'val'}\n")
    (tmp_path / "scores.csv").write_text("".join(lines))

    def train(backend, *arguments, recipe="clicv2_vit_tiny"):
        command = [Path(sys.executable).parent / "clicv2-keras", "train", recipe, "--backend", backend]
        for override in (*OVERRIDES, "data.path=images"):
            command += ["--set", override]
        environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
        environment["XLA_FLAGS"] = QUICK if backend == "jax" else ""
        return subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return train


@pytest.mark.parametrize(
    "backend", ["tensorflow", *(pytest.param(name, marks=pytest.mark.slow) for name in BACKENDS[1:])]
)
def test_trains(tmp_path, train, backend):
    result = train(backend)
    assert result.returncode == 0, result.stderr
    assert backend in result.stdout and result.stderr == ""
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "5"]
    assert all(float(row["contrastive_loss"]) > 0 and float(row["entropy_loss"]) > 0 for row in rows)
    assert (tmp_path / "run" / "encoder.keras").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_probe_and_pictures_change_nothing(tmp_path, train, backend):
    more = ("run.dir=probed", "run.images_every=2", "probe={dataset: csv, root: scores.csv, every: 2, split: val}")
    for arguments in ((), [word for override in more for word in ("--set", override)]):
        result = train(backend, *arguments)
        assert result.returncode == 0 and result.stderr == "", result.stderr
    plain, probed = (np.load(tmp_path / name / "checkpoints" / "step_00000005.npz") for name in ("run", "probed"))
    assert plain.files == probed.files
    for name in plain.files:
        np.testing.assert_array_equal(plain[name], probed[name], err_msg=name)
    assert len((tmp_path / "probed" / "probe.csv").read_text().splitlines()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_guided_by_a_presets_folder_beside_contrast_and_masked_entropy(tmp_path, train, backend):
    """A transformer of keras_hub teaches in the step, a network in a file is the stem."""
    hub = pytest.importorskip("keras_hub")
    shape = {"image_shape": (32, 32, 3), "patch_size": 8, "num_layers": 4, "num_heads": 2}
    hub.models.ViTBackbone(hidden_dim=8, mlp_dim=16, **shape).save_to_preset(tmp_path / "vit")
    tiny_feature_maps().save(tmp_path / "stem.keras")
    settings = ["encoder.stem=stem.keras", "guide.teacher=vit", "guide.sample=8", "data.held_out=2"]
    settings += ["optimizer.warmup_steps=0", "optimizer.decay_steps=2", "run.checkpoint_every=5"]
    more = [word for override in settings for word in ("--set", override)]
    result = train(backend, *more, recipe="guided_clicv2_tiny")
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        *_, last = csv.DictReader(file)
    for name in ("contrastive_loss", "entropy_loss", "guide_loss", "held_out_grid", "held_out_pooled"):
        assert np.isfinite(float(last[name])), name
