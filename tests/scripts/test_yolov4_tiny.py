from pathlib import Path

import keras
import numpy as np
import pytest
from load_program import load_program

from clicv2_keras.models import FeatureMaps

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "yolov4_tiny.py"
# Every kind of section that YOLOv4-tiny has, in a few channels.
CONFIGURATION = """
[net]
width=32

[convolutional]  # 0
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[route]
layers=-1
groups=2
group_id=1

[convolutional]  # 2
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky

[route]
layers = -1,-3

[maxpool]
size=2
stride=2

[convolutional]  # 5
size=1
stride=1
pad=1
filters=6
activation=linear

[yolo]
mask = 0,1

[route]
layers = -3

[upsample]
stride=2
"""
MAPS = (3, 4, 5, 8)


@pytest.fixture(scope="module")
def script():
    return load_program(SCRIPT)


@pytest.fixture
def files(tmp_path):
    """Configuration and random weights, and the numbers by section: bias, scale, mean, variance, kernel."""
    rng = np.random.default_rng(0)
    (tmp_path / "tiny.cfg").write_text(CONFIGURATION)
    numbers, flat = {}, []
    for number, (inputs, filters, size, normalised) in {
        0: (3, 8, 3, True),
        2: (4, 4, 3, True),
        5: (12, 6, 1, False),
    }.items():
        parts = [rng.normal(size=filters)]
        if normalised:
            parts += [rng.uniform(0.5, 1.5, filters), rng.normal(size=filters), rng.uniform(0.5, 1.5, filters)]
        parts.append(rng.normal(size=(filters, inputs, size, size)))
        numbers[number] = [part.astype("float32") for part in parts]
        flat += [part.ravel() for part in numbers[number]]
    header = np.array([0, 2, 5, 0, 0], "<i4").tobytes()
    (tmp_path / "tiny.weights").write_bytes(header + np.concatenate(flat).astype("<f4").tobytes())
    return tmp_path / "tiny.cfg", tmp_path / "tiny.weights", numbers


def convolve(x, kernel, stride):
    """(H, W, C) by a kernel (out, in, k, k), padded by k // 2 on every side."""
    size = kernel.shape[-1]
    x = np.pad(x, ((size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::stride, ::stride]
    return np.einsum("hwcyx,ocyx->hwo", windows, kernel)


def block(x, stride, bias, scale, mean, variance, kernel):
    x = (convolve(x, kernel, stride) - mean) / (np.sqrt(variance) + 1e-6) * scale + bias
    return np.where(x > 0, x, 0.1 * x)


def test_it_computes_what_the_configuration_says(script, files):
    configuration, weights, numbers = files
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3))
    first = block(image / 255, 2, *numbers[0])
    joined = np.concatenate([block(first[..., 4:], 1, *numbers[2]), first], axis=-1)
    pooled = joined.reshape(8, 2, 8, 2, 12).max(axis=(1, 3))
    bias, kernel = numbers[5]
    expected = [joined, pooled, convolve(pooled, kernel, 1) + bias, pooled.repeat(2, axis=0).repeat(2, axis=1)]
    network = script.yolov4_tiny(script.read_sections(configuration), weights, maps=MAPS)
    found = FeatureMaps(network, 0.0, script.SCALE)(image[None])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(ours)[0], theirs, rtol=1e-4, atol=1e-4)


def test_weights_of_another_length_are_refused(script, files):
    configuration, weights, _ = files
    weights.write_bytes(weights.read_bytes() + b"\0\0\0\0")
    with pytest.raises(ValueError, match="numbers where the network has"):
        script.yolov4_tiny(script.read_sections(configuration), weights, maps=MAPS)
