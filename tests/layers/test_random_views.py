import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from clicv2_keras.data.augment import draw_factors
from clicv2_keras.layers import RandomViews
from clicv2_keras.utils.images import network_input
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.views import WHOLE, draw_crop, jitter_colors

# Of `same_crop`: one box and flip, and the colours of both views.
COUNTS = (("box", 1), ("flip", 1), ("factors", 2))


def views(layer, images, draws=None):
    return {k: ops.convert_to_numpy(v) for k, v in layer(images, draws).items()}


@pytest.fixture
def photograph():
    """A smooth picture, 24 x 40, whose left and right, top and bottom differ."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([6 * x, 10 * y, 120 + 3 * y - 2 * x], axis=-1).clip(0, 255).astype("uint8")


def test_whole_image_is_resized_like_pillow(photograph):
    layer = RandomViews(16, min_area=1.0, flip=False, jitter=0.0)
    resized = views(layer, photograph[None])["image"][0].astype(int)
    assert np.abs(resized - network_input(Image.fromarray(photograph), 16)).max() <= 1


def pictures(kind, height, width):
    side = max(height, width)
    if kind == "noise":
        return [np.random.default_rng(i).integers(0, 256, (height, width, 3), "uint8") for i in range(8)]
    return [procedural_image(i, side)[0][:height, :width] for i in range(8)]


@pytest.mark.parametrize(
    ("kind", "height", "width", "size", "rarely"),
    [
        ("picture", 48, 64, 24, 0),
        ("picture", 20, 30, 64, 0),
        ("noise", 40, 50, 32, 1e-3),
        # Pillow may filter tall crops along the columns first.
        ("picture", 60, 24, 32, 0.02),
    ],
)
def test_the_same_draws_give_the_view_of_the_file_route(kind, height, width, size, rarely):
    """Crop, flip and colour, shrinking and enlarging: to 1/255, but where a rounding is jittered further."""
    images, rng = pictures(kind, height, width), np.random.default_rng(0)
    crops = [[draw_crop(rng, 0.2, flip=True) for _ in range(2)] for _ in images]
    crops[0] = [(WHOLE, False), (WHOLE, True)]
    draws = {
        "box": np.array([[box for box, _ in pair] for pair in crops]),
        "flip": np.array([[flip for _, flip in pair] for pair in crops]),
        "factors": np.array([[draw_factors(rng, 0.2) for _ in range(2)] for _ in images]),
    }
    files = [Image.fromarray(image) for image in images]
    read = [[network_input(file, size, *d) for d in pair] for file, pair in zip(files, crops, strict=True)]
    read = np.array(read).astype("float32")
    expected = {f"view_{name}": jitter_colors(read[:, i], draws["factors"][:, i]) for i, name in enumerate("ab")}
    out = views(RandomViews(size, views="two_crops"), np.stack(images), draws)
    assert np.abs(out["image"] - read[:, 0]).max() <= 1
    for name, view in expected.items():
        difference = np.abs(out[name] - view)
        assert difference.max() <= (2 if rarely else 1)
        assert np.mean(difference > 1) <= rarely
        assert rarely or np.mean(difference > 0) < 5e-3

    same = views(RandomViews(size), np.stack(images), {name: draws[name][:, :count] for name, count in COUNTS})
    np.testing.assert_array_equal(same["image"], out["image"])
    np.testing.assert_array_equal(same["view_a"], out["view_a"])
    differs = np.abs(same["view_b"] - jitter_colors(same["image"].astype("float32"), draws["factors"][:, 1]))
    assert differs.max() <= 1


def test_a_size_that_is_not_known_before_is_read(photograph):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow has images of unknown size")
    import tensorflow as tf

    layer = RandomViews(16, seed=0)
    draws = layer.draw(1)
    expected = views(layer, photograph[None], draws)
    traced = tf.function(
        lambda images: layer.crop(tf.cast(images, "float32"), draws["box"][:, 0], draws["flip"][:, 0]),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)],
    )
    np.testing.assert_array_equal(traced(photograph[None]).numpy(), expected["image"])


def test_same_crop_gives_views_that_correspond(rng):
    batch = rng.integers(0, 256, (8, 24, 40, 3)).astype("uint8")
    out = views(RandomViews(16, jitter=0.0, seed=0), batch)
    np.testing.assert_array_equal(out["view_a"], out["image"])
    np.testing.assert_array_equal(out["view_b"], out["image"])
    jittered = views(RandomViews(16, jitter=0.3, seed=0), batch)
    assert (jittered["view_a"] != jittered["view_b"]).mean() > 0.5
    for name in ("view_a", "view_b"):
        for view, image in zip(jittered[name], jittered["image"], strict=True):
            assert np.corrcoef(view.ravel(), image.ravel())[0, 1] > 0.9, "jitter changes colour, not content"


def test_a_share_of_the_views_is_grey_and_the_image_never(rng):
    batch = rng.integers(0, 256, (64, 16, 16, 3)).astype("uint8")
    out = views(RandomViews(16, jitter=0.0, grey=0.5, seed=0), batch)
    colored = {name: (view.max(axis=-1) != view.min(axis=-1)).any(axis=(1, 2)) for name, view in out.items()}
    assert colored["image"].all()
    for name in ("view_a", "view_b"):
        assert 0.3 < colored[name].mean() < 0.7
        np.testing.assert_array_equal(out[name][colored[name]], out["image"][colored[name]])
    assert (colored["view_a"] != colored["view_b"]).any(), "each view draws for itself"
    # The draws that were there before are the same.
    plain = views(RandomViews(16, jitter=0.0, seed=0), batch)
    np.testing.assert_array_equal(plain["image"], out["image"])


def test_two_crops_differ_in_content(photograph):
    out = views(RandomViews(16, views="two_crops", jitter=0.0, seed=0), photograph[None].repeat(8, axis=0))
    np.testing.assert_array_equal(out["view_a"], out["image"])
    assert all((a != b).any() for a, b in zip(out["view_a"], out["view_b"], strict=True))


def test_crops_lie_within_the_image_and_have_the_asked_area(photograph):
    # Red grows by 6 a column and green by 10 a row, so a crop's corners tell where it was read.
    out = views(RandomViews(16, min_area=0.25, jitter=0.0, flip=False, seed=3), photograph[None].repeat(256, axis=0))
    red, green = out["image"][..., 0] / 6.0, out["image"][..., 1] / 10.0
    across, down = np.abs(red[:, 8, 15] - red[:, 8, 0]) * 16 / 15, np.abs(green[:, 15, 8] - green[:, 0, 8]) * 16 / 15
    area = (across / 40) * (down / 24)
    assert 0.2 < area.min() < 0.35
    assert 0.8 < area.max() < 1.1
    assert (across / 40 < 1.06).all() and (down / 24 < 1.06).all()


def test_half_of_the_crops_are_flipped(photograph):
    out = views(RandomViews(16, jitter=0.0, seed=0), photograph[None].repeat(256, axis=0))
    flipped = out["image"][:, 8, 0, 0] > out["image"][:, 8, 15, 0]
    assert 0.35 < flipped.mean() < 0.65


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"views": "three"}, "views must be one of"), ({"min_area": 0}, "min_area must be above 0")],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomViews(16, **arguments)
