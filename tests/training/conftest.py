import pytest
from PIL import Image
from tiny_recipe import TINY

from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory):
    """A folder of 12 real JPEG files, one of them in a folder below."""
    folder = tmp_path_factory.mktemp("jpegs")
    (folder / "below").mkdir()
    for seed in range(12):
        pixels, _ = procedural_image(seed, 64)
        Image.fromarray(pixels).save(folder / ("below" if seed == 0 else "") / f"{seed}.jpg", quality=90)
    return folder


@pytest.fixture
def eagerly():
    """Without tracing the step, which takes longer than a few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def tiny(jpegs):
    """Overrides that shrink any recipe, on real files."""
    return (*TINY, f"data.path={jpegs}", "run.log_every=2")


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """A table of 48 JPEGs of known complexity in two categories: 24 in train, 12 in val and 12 in test."""
    folder = tmp_path_factory.mktemp("scored")
    lines = ["file,score,category,split\n"]
    for seed in range(48):
        pixels, complexity = procedural_image(seed, 48)
        Image.fromarray(pixels).save(folder / f"{seed}.jpg", quality=90)
        lines.append(f"{seed}.jpg,{complexity},{'ab'[seed % 2]},{('train', 'train', 'val', 'test')[seed // 12]}\n")
    (folder / "scores.csv").write_text("".join(lines))
    return folder / "scores.csv"


@pytest.fixture
def one_image(tmp_path):
    """A folder of one file that is an image by its name alone."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").touch()
    return tmp_path / "images"
