import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clicv2_keras.utils.procedural import procedural_image

SCRIPT = Path(sys.executable).parent / "clicv2-keras"


@pytest.fixture(scope="session")
def url():
    """Where `clicv2-keras demo` serves; it must end cleanly."""
    process = subprocess.Popen(
        [SCRIPT, "demo", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield re.match(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Files of the kinds that reach a device, by name."""
    folder = tmp_path_factory.mktemp("pictures")
    image = {seed: Image.fromarray(procedural_image(seed, 900)[0]) for seed in (0, 21, 33, 37, 39)}
    files = {name: folder / name for name in ("photo.jpg", "alpha.png", "turned.jpg", "grey.png", "wide.webp")}
    image[0].crop((0, 100, 900, 700)).save(files["photo.jpg"], quality=92)
    alpha = np.clip(np.hypot(*np.mgrid[-1:1:900j, -1:1:900j]) * 300 - 60, 0, 255).astype("uint8")
    image[21].putalpha(Image.fromarray(alpha))
    image[21].save(files["alpha.png"])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image[37].crop((0, 0, 900, 500)).save(files["turned.jpg"], quality=85, exif=exif)
    image[33].convert("L").save(files["grey.png"])
    image[39].crop((0, 300, 900, 420)).resize((2700, 360)).save(files["wide.webp"], lossless=True)
    return files
