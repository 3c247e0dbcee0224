import numpy as np
import pytest


@pytest.fixture
def known(ic9600):
    """The labels of the test part, in order."""
    return np.array([float(line.split("  ")[1]) for line in (ic9600 / "test.txt").read_text().splitlines()])
