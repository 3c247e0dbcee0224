import itertools
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from clicv2_keras.data.augment import draw_factors
from clicv2_keras.data.pipeline import batch_indices, training_dataset
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import open_source
from clicv2_keras.layers import ShiftedPatchify
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.views import draw_crop, jitter_colors


def batches(source, count, **arguments):
    dataset = training_dataset(source, **{"image_size": 24, "batch_size": 4, **arguments})
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def same(first, second):
    return all((a[name] == b[name]).all() for a, b in zip(first, second, strict=True) for name in a)


@pytest.fixture
def source(photos):
    return open_source("folder", photos)


def test_a_batch_is_a_function_of_seed_and_number(source):
    first = batches(source, 6, seed=3)
    assert same(first, batches(source, 6, seed=3))
    assert same(first[4:], batches(source, 2, seed=3, start_step=4))
    assert not same(first, batches(source, 6, seed=4))
    assert all(
        batch[name].shape == (4, 24, 24, 3) and batch[name].dtype == np.uint8 for batch in first for name in batch
    )


def test_same_crop_differs_in_colour_alone(source):
    (plain,) = batches(source, 1, jitter=0)
    np.testing.assert_array_equal(plain["view_a"], plain["image"])
    np.testing.assert_array_equal(plain["view_b"], plain["image"])
    (jittered,) = batches(source, 1, jitter=0.2)
    np.testing.assert_array_equal(jittered["image"], plain["image"])
    for name in ("view_a", "view_b"):
        assert (jittered[name] != jittered["image"]).mean() > 0.5
        assert np.abs(jittered[name].astype(int) - jittered["image"]).mean() < 60
    assert (jittered["view_a"] != jittered["view_b"]).mean() > 0.5


def test_a_share_of_the_views_is_grey_and_the_image_never(source):
    (plain,) = batches(source, 1, batch_size=32, jitter=0)
    (batch,) = batches(source, 1, batch_size=32, jitter=0, grey=0.5)
    np.testing.assert_array_equal(batch["image"], plain["image"])
    grey = {name: (view.max(axis=-1) == view.min(axis=-1)).all(axis=(1, 2)) for name, view in batch.items()}
    for name in ("view_a", "view_b"):
        assert 0.2 < grey[name].mean() < 0.8
        np.testing.assert_array_equal(batch[name][~grey[name]], plain[name][~grey[name]])
    assert (grey["view_a"] != grey["view_b"]).any() and not grey["image"].any()


def test_two_crops_differ_in_content(source):
    (batch,) = batches(source, 1, views="two_crops", jitter=0)
    np.testing.assert_array_equal(batch["view_a"], batch["image"])
    assert all((a != b).any() for a, b in zip(batch["view_a"], batch["view_b"], strict=True))


def test_an_epoch_is_every_image_once_and_the_next_in_another_order(source):
    two = np.concatenate([b["image"] for b in batches(source, 4, batch_size=3, min_area=1.0, flip=False, jitter=0)])
    whole = load_images(source, range(6), 24)

    # A crop of the whole area still has its aspect drawn: find the image it came from.
    def origin(crop):
        return int(np.abs(whole.astype(int) - crop).mean(axis=(1, 2, 3)).argmin())

    order = [origin(crop) for crop in two]
    assert sorted(order[:6]) == sorted(order[6:]) == list(range(6))
    assert order[:6] != order[6:]


def test_keras_cv_changes_colours_as_defined(rng):
    import tensorflow as tf

    from clicv2_keras.data.augment import color_jitter

    images = rng.integers(0, 256, (16, 24, 24, 3), "uint8")
    factors = rng.uniform(0, 2, (16, 3)).astype("float32")
    expected = jitter_colors(images.astype("float32"), factors)
    for jit_compile in (False, True):
        jittered = tf.function(color_jitter(), jit_compile=jit_compile)(images, factors)
        assert jittered.dtype == "uint8"
        assert np.abs(jittered - expected).max() <= 1
        assert np.mean(jittered != expected) < 1e-3


def test_a_view_is_the_crop_and_the_colours_that_its_draws_say(source):
    """The whole route, from the file to the view."""
    (batch,) = batches(source, 1, seed=5, views="two_crops", batch_size=6)
    for place, index in enumerate(batch_indices(source, 5, 0, 6)):
        rng = np.random.default_rng((5, 0, index, 1))
        draws = [draw_crop(rng, 0.2, flip=True) for _ in range(2)]
        factors = np.stack([draw_factors(rng, 0.2) for _ in range(2)])
        image = source.load(index)
        crops = np.stack([network_input(image, 24, *draw) for draw in draws])
        np.testing.assert_array_equal(batch["image"][place], crops[0])
        views = jitter_colors(crops.astype("float32"), factors)
        for name, view in zip(("view_a", "view_b"), views, strict=True):
            assert np.abs(batch[name][place] - view).max() <= 1


def test_the_two_views_of_one_crop_share_their_layout():
    """A grey thumbnail finds its image's other view, so that `retrieval` says little of what tokens know (README)."""
    source = open_source("procedural", num_images=32, image_size=96)
    (batch,) = batches(source, 1, image_size=96, batch_size=32, min_area=0.5)
    shift = ShiftedPatchify(16, seed=0)

    def thumbnails(view):
        """Of 12 x 12 values, standardised."""
        patches = ops.convert_to_numpy(shift(view, training=True)).astype("float32")
        grey = patches.reshape(32, 36, 2, 8, 2, 8, 3).mean(axis=(3, 5, 6)).reshape(32, 144)
        grey -= grey.mean(axis=1, keepdims=True)
        return grey / np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), 1e-6)  # one may be blank

    similarity = thumbnails(batch["view_a"]) @ thumbnails(batch["view_b"]).T
    assert np.mean(similarity.argmax(axis=1) == np.arange(32)) > 0.8


@pytest.fixture
def broken(photos):
    whole = (photos / "2.jpg").read_bytes()
    (photos / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "more" / "3.jpg").write_bytes(b"\xff\xd8\xff")
    return photos


def test_broken_images_are_named_once_and_replaced(broken):
    seen = []
    source = open_source("folder", broken)
    arguments = {"on_unreadable": lambda name, reason: seen.append((name, reason))}
    first = batches(source, 9, **arguments)
    names = [name.removeprefix(f"{broken}/") for name, _ in seen]
    assert sorted(names) == ["2.jpg", "more/3.jpg"]
    assert all(reason and "\n" not in reason for _, reason in seen)
    assert same(first, batches(source, 9))


def test_a_list_may_name_what_is_no_image(photos):
    (photos / "text.jpg").write_text("I am no image.")
    (photos / "empty.jpg").touch()
    (photos / "list.txt").write_text("text.jpg\nempty.jpg\n2.jpg\nnone.jpg\n4.jpg\n")
    seen = {}
    list_file = open_source("list", photos / "list.txt")
    batches(list_file, 4, on_unreadable=lambda name, reason: seen.update({name: reason}))
    assert set(seen) == {"text.jpg", "empty.jpg", "none.jpg"}
    assert seen["none.jpg"] == "no such file"


def test_procedural_images_of_another_seed_are_others():
    train, unseen = (open_source("procedural", num_images=20, image_size=24, seed=seed) for seed in (0, 1))
    first, second = load_images(train, range(20), 24), load_images(unseen, range(20), 24)
    assert not {image.tobytes() for image in first} & {image.tobytes() for image in second}
    (batch,) = batches(train, 1)
    assert batch["image"].shape == (4, 24, 24, 3)
    assert 0 <= train.complexity(3) <= 1


def test_nothing_readable_is_an_error_and_no_endless_search(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="all 1 images with it are unreadable"):
        batches(open_source("folder", tmp_path), 1)


def test_load_images_are_whole_and_name_the_broken_one(broken):
    source = open_source("folder", broken)
    assert load_images(source, [0, 2], 24).shape == (2, 24, 24, 3)
    with pytest.raises(UnreadableImage, match="2.jpg: "):
        load_images(source, [1], 24)


def test_a_program_that_stops_in_mid_stream_ends(photos):
    """tf.data's threads call Python: at exit they would hang the interpreter for ever."""
    code = f"""
from clicv2_keras.data.pipeline import training_dataset
from clicv2_keras.data.sources import open_source
iterator = iter(training_dataset(open_source("folder", {str(photos)!r}), image_size=224, batch_size=64, jitter=0))
next(iterator)
"""
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_real_images(real_data):
    source = open_source("folder", real_data / "corpus")
    assert len(source) == len((real_data / "corpus.csv").read_text().splitlines()) - 1
    (batch,) = batches(source, 1, image_size=96, batch_size=16, on_unreadable=lambda *bad: pytest.fail(str(bad)))
    assert batch["image"].std() > 20
