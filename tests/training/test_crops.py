import numpy as np
import pytest

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.data.pipeline import load_images
from clicv2_keras.data.sources import open_source
from clicv2_keras.training import crops as crops_module
from clicv2_keras.training.crops import crop_batches
from clicv2_keras.training.finetune import finetune
from clicv2_keras.training.whole_network import WholeNetwork
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.threads import AHEAD, share_cores
from clicv2_keras.utils.views import WHOLE


@pytest.fixture
def whole_crops(monkeypatch):
    """Crops of everything, the first mirrored."""
    draws = iter([True, False] * 10**4)
    monkeypatch.setattr(crops_module, "draw_crop", lambda rng, min_area, flip: (WHOLE, next(draws)))
    monkeypatch.setattr(crops_module, "share_cores", lambda: (1, 1))


def test_the_whole_network_learns_from_pixels_as_they_are_scored(tiny_encoder, ic9600, whole_crops, monkeypatch):
    """Resized once: a crop of the whole image is, byte by byte, what the scorer is given of that image."""
    data = open_scored("ic9600", ic9600)
    data = data.subset(data.splits == "train")
    scored = {image.tobytes() for image in load_images(data.source, range(len(data)), 32)}
    learnt = []

    def spy(self, inputs, targets, return_dict):
        learnt.append(inputs["crops"])
        return {"score_loss": 0.0}

    monkeypatch.setattr(WholeNetwork, "train_on_batch", spy)
    finetune(tiny_encoder.copy(), data, output=None, whole=True, epochs=2, progress=False)
    mirrored, plain = np.concatenate(learnt).swapaxes(0, 1)
    assert len(plain) == 2 * len(data)
    assert {image.tobytes() for image in plain} == scored
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


def test_every_image_once_an_epoch_two_crops_each(ic9600):
    # The labelled ones: other tests leave other files in that folder.
    source = open_scored("ic9600", ic9600).source

    def epoch(number, seed=1):
        indices, crops = zip(*crop_batches(source, 24, 32, seed, number), strict=True)
        assert [len(batch) for batch in indices] == [32, 28]
        indices, crops = np.concatenate(indices), np.concatenate(crops)
        assert crops.shape == (60, 2, 24, 24, 3) and crops.dtype == "uint8"
        assert sorted(indices) == list(range(60))
        return indices, crops

    indices, crops = epoch(0)
    again, same = epoch(0)
    np.testing.assert_array_equal(again, indices)
    np.testing.assert_array_equal(same, crops)
    for other in (epoch(1), epoch(0, seed=2)):
        assert (other[0] != indices).any()
        assert (other[1][np.argsort(other[0])] != crops[np.argsort(indices)]).any()
    whole = load_images(source, indices, 24).astype(int)
    # Mirrored or not, each crop is a large part of its own image.
    for crop in crops.swapaxes(0, 1):
        apart = [np.abs(view - whole).mean(axis=(1, 2, 3)) for view in (crop, crop[:, :, ::-1])]
        others = np.abs(crop - whole[::-1]).mean(axis=(1, 2, 3))
        assert np.mean(np.minimum(*apart) < others) > 0.9
    assert (crops[:, 0] != crops[:, 1]).any(axis=(1, 2, 3)).mean() > 0.9


def test_crops_are_read_as_they_are_needed(ic9600):
    # The labelled ones: other tests leave other files in that folder.
    source = open_scored("ic9600", ic9600).source
    loaded = []

    class Watched:
        name = source.name

        def __len__(self):
            return 10**6

        def load(self, index, at_least):
            loaded.append(at_least)
            return source.load(index % len(source), at_least)

    batches = crop_batches(Watched(), 24, 8, 0, 0)
    next(batches)
    batches.close()
    assert len(loaded) <= 8 + share_cores()[0] * AHEAD
    # As a whole image is decoded for scoring: at twice the size of what is read of it.
    assert 48 < min(loaded) and max(loaded) <= np.ceil(48 / np.sqrt(0.6))


def test_an_image_that_has_gone_is_told_in_one_line(ic9600, tmp_path):
    for name in ("person_0002.jpg", "objects_0001.jpg"):
        (tmp_path / name).write_bytes((ic9600 / "images" / name).read_bytes())
    source = open_source("folder", tmp_path)
    (tmp_path / "person_0002.jpg").unlink()
    with pytest.raises(UserError, match="person_0002.jpg: was read before and cannot be now: no such file$"):
        list(crop_batches(source, 24, 8, 0, 0))
