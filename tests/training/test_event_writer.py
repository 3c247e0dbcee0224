import os

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clicv2_keras.training.callbacks.event_writer import EventWriter


def shown(folder):
    """(step, value) of the loss as TensorBoard shows it."""
    events = EventAccumulator(str(folder)).Reload().Scalars("loss")
    return [(event.step, event.value) for event in events]


def test_a_run_that_goes_on_replaces_what_was_told_of_later_steps(tmp_path):
    killed = EventWriter(tmp_path)
    for step in range(1, 9):
        killed.add_row({"step": step, "loss": 0.5})
    (file,) = tmp_path.iterdir()
    os.truncate(file, file.stat().st_size - 1)  # the last record is unfinished
    assert shown(tmp_path) == [(step, 0.5) for step in range(1, 8)]
    again = EventWriter(tmp_path, step=4)
    assert shown(tmp_path) == [(step, 0.5) for step in range(1, 5)]
    again.add_row({"step": 5, "loss": 0.25})
    assert shown(tmp_path) == [*((step, 0.5) for step in range(1, 5)), (5, 0.25)]


def test_pictures_are_shown(tmp_path, rng):
    writer = EventWriter(tmp_path)
    writer.add_picture("seen", rng.integers(0, 256, (6, 9, 3)).astype("uint8"), step=3)
    writer.close()
    (image,) = EventAccumulator(str(tmp_path)).Reload().Images("seen")
    assert (image.step, image.height, image.width) == (3, 6, 9)
    assert np.frombuffer(image.encoded_image_string[:4], "uint8").tolist() == [0x89, *b"PNG"]


def test_a_full_disk_is_told_with_the_folder(tmp_path):
    writer = EventWriter(tmp_path)
    writer.file.close()
    writer.file = open("/dev/full", "wb")
    writer.records._writer = writer.file
    with pytest.raises(OSError, match="No space left on device") as caught:
        writer.add_row({"step": 1, "loss": 0.5})
    assert caught.value.filename == str(tmp_path)
