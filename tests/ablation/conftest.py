import csv

import pytest
from PIL import Image

from clicv2_keras.utils.procedural import procedural_image

# Shrinks a recipe; what makes it that recipe stays.
TINY = (
    "data.image_size=32",
    "data.source=folder",
    "data.jitter=0",
    "encoder.patch_size=8",
    "encoder.width=16",
    "encoder.depth=1",
    "encoder.num_heads=2",
    "contrast.tokens=4",
    "contrast.projector_hidden=16",
    "contrast.projection_dim=8",
    "entropy.decoder_depth=1",
    "entropy.decoder_width=32",
    "train.steps=2",
    "train.batch_size=8",
    "train.jit=false",
    "run.log_every=2",
)


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """A table of 20 JPEGs of known complexity in two categories: 12 to fit on, 8 to judge on."""
    folder = tmp_path_factory.mktemp("scored")
    lines = [("file", "score", "category", "split")]
    for seed in range(20):
        pixels, complexity = procedural_image(seed, 48)
        Image.fromarray(pixels).save(folder / f"{seed}.jpg", quality=90)
        lines.append((f"{seed}.jpg", complexity, "ab"[seed % 2], "train" if seed < 12 else "test"))
    with open(folder / "scores.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder / "scores.csv"


@pytest.fixture
def tiny(scored, tmp_path):
    """Arguments of `ablate` that make it small: 2 rows, 2 seeds, 2 steps."""
    return {
        "recipe": "ablation/clicv2",
        "rows": "mem,random",
        "overrides": (*TINY, f"data.path={scored.parent}"),
        "seeds": 2,
        "dataset": "csv",
        "root": scored,
        "output": tmp_path / "out",
        "progress": False,
    }
