import io

import numpy as np
import pytest
from PIL import Image

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.utils import fingerprints as module
from clicv2_keras.utils.fingerprints import Fingerprints, fingerprint
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.procedural import procedural_image


def stored(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return open_rgb(file.getvalue())


def half(image):
    return image.resize([side // 2 for side in image.size], Image.Resampling.LANCZOS)


CHANGES = {
    "png": lambda image: stored(image, "PNG"),
    "jpeg": lambda image: stored(image, "JPEG", quality=70),
    "half": half,
    "half jpeg": lambda image: stored(half(image), "JPEG", quality=70),
}


def codes(images):
    return np.stack([fingerprint(image) for image in images])


def flat(number):
    """A coloured ground with one square, as a Suprematist might paint it."""
    rng = np.random.default_rng(number)
    pixels = np.full((120, 160, 3), rng.integers(0, 256, 3), "uint8")
    y, x = rng.integers(0, 90, 2)
    pixels[y : y + 30, x : x + 40] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("change", CHANGES)
def test_an_image_is_known_again_and_no_other_taken_for_it(change):
    images = [flat(i) for i in range(30)] + [Image.fromarray(procedural_image(i, 120)[0]) for i in range(30)]
    known, others = Fingerprints(codes(images[::2])), images[1::2]
    assert known.known(codes([CHANGES[change](image) for image in images[::2]])).all()
    assert not known.known(codes([CHANGES[change](image) for image in others])).any()


@pytest.mark.parametrize("change", CHANGES)
def test_real_pictures_the_flat_ones_among_them(real_data, change):
    data = open_scored("savoias", real_data / "savoias.csv")
    hard = np.flatnonzero(np.isin(data.categories, ("suprematism", "visualizations")))[::5]
    images = [data.source.load(i) for i in hard]
    for i, code in enumerate(codes(images)):
        assert Fingerprints(code).known(codes([CHANGES[change](images[i])])).all()
        assert not Fingerprints(code).known(codes(images[:i] + images[i + 1 :])).any()


def test_is_the_rule_as_written(rng, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4)
    stored = rng.integers(0, 256, (10, 194)) * rng.choice([0.05, 0.5, 1], (10, 1))
    stored = stored.astype("uint8")
    asked = np.concatenate([stored, stored]) + rng.normal(0, 1, (20, 194)) * np.linspace(0.5, 5, 20)[:, None]
    asked = asked.clip(0, 255).round().astype("uint8")
    squares = np.square(asked[:, None].astype(float) - stored[None].astype(float))
    luma, chroma = (np.sqrt(part.mean(axis=2)) for part in (squares[..., :144], squares[..., 144:]))
    expected = ((luma <= np.clip(0.125 * stored[:, :144].std(axis=1), 2.5, 5)) & (chroma <= 4)).any(axis=1)
    assert 0 < expected.sum() < 20
    np.testing.assert_array_equal(Fingerprints(stored).known(asked), expected)


def test_sets(rng):
    one, two = (rng.integers(0, 256, (3, 194)).astype("uint8") for _ in range(2))
    both = Fingerprints(one) | Fingerprints(two) | Fingerprints(one)
    assert len(both) == 6 and both.known(np.concatenate([one, two])).all()
    nothing = Fingerprints()
    assert len(nothing) == 0 and not nothing.known(one).any() and len(both.known(one[:0])) == 0
    assert both.codes.nbytes == 6 * 194
