"""What is measured of scoring is scoring alone."""

import subprocess
import sys

import pytest
from PIL import Image

from clicv2_keras import benchmark
from clicv2_keras.utils.errors import UserError

PEAK = """
import sys
from clicv2_keras.deployment.scoring.measurement import benchmark
print(benchmark(images=sys.argv[1:], seconds=0.01).memory)
"""


@pytest.mark.slow
def test_more_pictures_take_no_more_memory(tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(16)]
    Image.new("RGB", (2500, 2500)).save(files[0], compress_level=1)
    for file in files[1:]:
        file.symlink_to(files[0])
    one, many = (
        int(subprocess.run([sys.executable, "-c", PEAK, *some], capture_output=True, check=True).stdout)
        for some in (files[:1], files)
    )
    # A picture takes 19 MB.
    assert many < one + 60e6


def test_what_is_on_the_web_is_told():
    with pytest.raises(UserError, match=r"--images https://example\.org/a\.jpg: is on the web; name files"):
        benchmark(images=["https://example.org/a.jpg"])
