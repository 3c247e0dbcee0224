"""Scores of what is at hand in Python: many images of which some are broken, and arrays of any range."""

import importlib

import numpy as np
import pytest
from PIL import Image

from clicv2_keras import ComplexityMetric


def test_many_are_scored_in_order_and_a_broken_one_ends_nothing(scorer, photos, images):
    (photos / "bad.jpg").write_text("text")
    things = [photos / "a.jpg", str(photos / "bad.jpg"), images[0], Image.fromarray(images[1]), photos / "none.jpg"]
    scores = scorer.score_many(things, workers=2)
    assert [row.file for row in scores] == [str(things[0]), things[1], "2", "3", str(things[4])]
    assert [row.error for row in scores] == [None, "not an image that Pillow can read", None, None, "no such file"]
    expected = [scorer.score(thing).score for thing in (things[0], things[2], things[3])]
    np.testing.assert_allclose(scores.values[[0, 2, 3]], expected, atol=1e-6)
    assert np.isnan(scores.values[[1, 4]]).all()


def test_a_broken_image_at_hand_has_the_error_of_its_file(scorer, tmp_path):
    path, noise = tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (200, 200, 3), "uint8")
    Image.fromarray(noise).save(path)
    data = bytearray(path.read_bytes())
    second = data.index(b"IDAT", data.index(b"IDAT") + 4)
    data[second : second + 4] = bytes(range(4))
    path.write_bytes(data)
    at_hand, file = scorer.score_many([Image.open(path), path])
    assert at_hand.error and at_hand.error == file.error and at_hand.file == "0"


def test_an_array_and_a_generator_are_many_too(scorer, images):
    expected = [each.score for each in scorer.score(images)]
    for given in (images, (image for image in images)):
        np.testing.assert_allclose(scorer.score_many(given).values, expected, atol=1e-6)
    assert scorer.score_many([]) == [] and scorer.score_many([]).values.shape == (0,)


def test_a_table_has_a_line_an_image(scorer, photos):
    frame = scorer.score_many([photos / "a.jpg", photos / "none.jpg"]).to_frame()
    assert list(frame.columns) == ["file", "score", "width", "height", "error"]
    assert frame.width.tolist()[0] == 60 and frame.score.isna().tolist() == [False, True]
    assert frame.error.tolist()[1] == "no such file"


@pytest.mark.parametrize(
    "wrong, error",
    [
        ([3], TypeError),
        (np.zeros((2, 8, 8, 3)), ValueError),
        # One image: not a picture a letter, a byte or a row.
        ("photo.jpg", TypeError),
        (b"\xff\xd8\xff", TypeError),
        (np.zeros((8, 8, 3), "uint8"), ValueError),
    ],
)
def test_what_is_no_image_is_an_error_of_the_caller(scorer, wrong, error):
    with pytest.raises(error):
        scorer.score_many(wrong)


@pytest.fixture(scope="module")
def metric():
    return ComplexityMetric()


def test_the_metric_reads_arrays_and_the_backend_s_tensors(metric, scorer, images):
    import keras

    expected = [each.score for each in scorer.score(images)]
    for given in (images, keras.ops.convert_to_tensor(images)):
        scores = metric(given)
        assert scores.shape == (4,) and scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.slow  # the other libraries take half a minute to be imported
def test_the_metric_reads_tensors_of_jax_and_of_a_network_in_pytorch(metric, images):
    jnp, torch = importlib.import_module("jax.numpy"), importlib.import_module("torch")
    np.testing.assert_array_equal(metric(jnp.asarray(images)), metric(images))
    unit = ComplexityMetric(value_range=(0, 1), data_format="channels_first")
    tensor = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255).requires_grad_()
    np.testing.assert_array_equal(unit(tensor), metric(images))
    assert unit(tensor.bfloat16()).shape == (4,)


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (0, 255)])
def test_floats_of_a_known_range_score_as_the_bytes_do(metric, images, low, high):
    floats = images.astype("float32") / 255 * (high - low) + low
    expected = metric(images)
    np.testing.assert_array_equal(ComplexityMetric(value_range=(low, high))(floats), expected)
    found = ComplexityMetric(value_range=(low, high), data_format="channels_first")(floats.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(found, expected)


def test_the_state_is_the_mean_of_all_batches(metric, images):
    metric.reset_state()
    assert np.isnan(metric.result())
    metric.update_state(images)
    metric.update_state(images[:1])
    metric(images)  # counts nothing in
    expected = np.concatenate([metric(images), metric(images[:1])]).mean()
    assert metric.result() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "arguments, array, said",
    [
        ({}, np.full((1, 8, 8, 3), 256.0), "must lie in value_range"),
        ({"value_range": (0, 1)}, np.full((1, 8, 8, 3), 200, "uint8"), "must lie in value_range"),
        ({"value_range": (0, 1)}, np.full((1, 8, 8, 3), np.nan), "must lie in value_range"),
        ({}, np.zeros((8, 8, 3), "uint8"), r"must be \(B, H, W, 3\)"),
        ({"data_format": "channels_first"}, np.zeros((1, 8, 8, 3), "uint8"), r"must be \(B, 3, H, W\)"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, array, said):
    with pytest.raises(ValueError, match=said):
        ComplexityMetric(**arguments)(array)


@pytest.mark.parametrize("arguments", [{"value_range": (1, 0)}, {"data_format": "NCHW"}])
def test_mistakes_are_told_when_it_is_made(arguments):
    with pytest.raises(ValueError, match="must be"):
        ComplexityMetric(**arguments)
