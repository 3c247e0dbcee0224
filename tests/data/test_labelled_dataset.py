"""Batches of images with labels: two crops of each, read from the file and resized once, as scored."""

import itertools

import numpy as np
import pytest

from clicv2_keras.data import pipeline
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.data.pipeline import labelled_dataset
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import open_source
from clicv2_keras.utils.views import WHOLE


@pytest.fixture(scope="module")
def data(ic9600):
    # The labelled ones: other tests leave other files in that folder.
    return open_scored("ic9600", ic9600)


def batches(data, count, **settings):
    groups = np.arange(len(data))  # each image's number, to know it again
    settings = {"image_size": 24, "batch_size": 20, "seed": 1} | settings
    dataset = labelled_dataset(data.source, data.scores, groups, **settings)
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def test_an_epoch_is_every_image_once_with_its_label(data):
    first, again, other = batches(data, 6), batches(data, 2, start_step=3), batches(data, 3, seed=2)
    for epoch in (first[:3], first[3:]):
        numbers = np.concatenate([batch["group"] for batch in epoch])
        assert sorted(numbers) == list(range(60))
        scores = np.concatenate([batch["score"] for batch in epoch])
        np.testing.assert_array_equal(scores, data.scores[numbers].astype("float32"))
    for batch in first:
        assert batch["crops"].shape == (20, 2, 24, 24, 3) and batch["crops"].dtype == "uint8"
        assert batch["score"].dtype == "float32" and batch["group"].dtype == "int32"
    for one, same in zip(first[3:5], again, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], same[name])
    assert any((a["group"] != b["group"]).any() for a, b in zip(first[:3], first[3:], strict=True))
    assert any((a["group"] != b["group"]).any() for a, b in zip(first[:3], other, strict=True))
    # A process reads its share.
    (half,) = batches(data, 1, share=(1, 2))
    np.testing.assert_array_equal(half["crops"], first[0]["crops"][10:])


def test_each_crop_is_a_large_part_of_its_own_image_mirrored_or_not(data):
    epoch = batches(data, 3)
    crops, numbers = (np.concatenate([batch[name] for batch in epoch]) for name in ("crops", "group"))
    whole = load_images(data.source, numbers, 24).astype(int)
    for crop in crops.swapaxes(0, 1):
        apart = [np.abs(view - whole).mean(axis=(1, 2, 3)) for view in (crop, crop[:, :, ::-1])]
        others = np.abs(crop - whole[::-1]).mean(axis=(1, 2, 3))
        assert np.mean(np.minimum(*apart) < others) > 0.9
    assert (crops[:, 0] != crops[:, 1]).any(axis=(1, 2, 3)).mean() > 0.9


def test_a_crop_of_all_is_what_the_scorer_is_given(data, monkeypatch):
    """Resized once, byte by byte."""
    draws = iter([True, False] * 10**4)
    monkeypatch.setattr(pipeline, "draw_crop", lambda rng, min_area, flip: (WHOLE, next(draws)))
    monkeypatch.setattr(pipeline, "share_cores", lambda: (1, 1))
    scored = {image.tobytes() for image in load_images(data.source, range(len(data)), 24)}
    mirrored, plain = np.concatenate([batch["crops"] for batch in batches(data, 3)]).swapaxes(0, 1)
    assert {image.tobytes() for image in plain} == scored
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


def test_crops_are_read_as_they_are_needed_at_the_detail_of_a_whole_image(data):
    loaded = []

    class Watched:
        name = data.source.name

        def __len__(self):
            return 10**4

        def load(self, index, at_least):
            loaded.append(at_least)
            return data.source.load(index % 60, at_least)

    labels = np.zeros(10**4)
    dataset = labelled_dataset(Watched(), labels, labels.astype(int), image_size=24, batch_size=8)
    next(iter(dataset))
    assert len(loaded) < 200
    # As a whole image is decoded for scoring: at twice the size of what is read of it.
    assert 48 < min(loaded[1:]) and max(loaded) <= np.ceil(48 / np.sqrt(0.6))


def test_what_stands_in_for_an_image_that_has_gone_brings_its_own_label(ic9600, tmp_path):
    for name in ("objects_0001.jpg", "person_0002.jpg"):
        (tmp_path / name).write_bytes((ic9600 / "images" / name).read_bytes())
    source = open_source("folder", tmp_path)
    (tmp_path / "objects_0001.jpg").unlink()
    told = []
    settings = {"image_size": 24, "batch_size": 4, "on_unreadable": lambda *fault: told.append(fault)}
    batch = next(iter(labelled_dataset(source, np.array([0.1, 0.9]), np.array([0, 1]), **settings)))
    assert batch["group"].numpy().tolist() == [1] * 4 and batch["score"].numpy().tolist() == pytest.approx([0.9] * 4)
    assert [reason for _, reason in told] == ["no such file"]
