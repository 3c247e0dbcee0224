import pytest
from PIL import Image

from clicv2_keras.data.procedural import procedural_image


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
