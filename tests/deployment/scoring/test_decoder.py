"""Decoding in a process of its own: the same pictures, and what a harmful one can do."""

import os
import time

import numpy as np
import pytest
from harmful_pictures import HARM
from PIL import Image

from clicv2_keras.deployment.scoring.decoder import Decoder
from clicv2_keras.deployment.scoring.scorer import read_picture
from clicv2_keras.deployment.scoring.tiles import Tiling, read_pictures
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture
def harm(tmp_path, monkeypatch):
    """Makes pictures harmful that begin with KILL, HANG or EAT."""
    folder = tmp_path / "harm"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HARM)
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def decoder():
    decoder = Decoder(192, seconds=1)
    yield decoder
    decoder.close()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(procedural_image(5, 700)[0][:500]).save(path, quality=90)
    return path


@pytest.mark.parametrize("tiling", [None, Tiling(300, 200)])
def test_pictures_are_those_of_this_process(picture, tiling):
    decoder = Decoder(192, tiling)
    for source in (str(picture), picture.read_bytes()):
        found, wanted = list(decoder.pictures(source)), list(read_pictures(source, 192, tiling))
        assert [(box, p.width, p.height) for box, p in found] == [(box, p.width, p.height) for box, p in wanted]
        assert all(np.array_equal(p.pixels, q.pixels) for (_, p), (_, q) in zip(found, wanted, strict=True))
    decoder.close()


def test_errors_are_those_of_this_process(decoder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (str(tmp_path / "none.jpg"), str(tmp_path / "pipe"), b"text", b"", b"\xff\xd8\xff\xe0broken"):
        with pytest.raises(UnreadableImage) as here:
            read_picture(source, 192)
        with pytest.raises(UnreadableImage) as there:
            list(decoder.pictures(source))
        assert str(here.value) == str(there.value)


def test_modules_beside_the_pictures_are_not_run(decoder, picture, monkeypatch):
    monkeypatch.chdir(picture.parent)
    monkeypatch.syspath_prepend(picture.parent)  # as Ray's workers have it
    for name in ("resource.py", "struct.py"):
        (picture.parent / name).write_text(f"open({str(picture.parent / 'run')!r}, 'w').close()")
    assert len(list(decoder.pictures(str(picture)))) == 1
    assert not (picture.parent / "run").exists()


def test_harmful_pictures_are_told_and_the_next_one_is_read(harm, decoder, picture):
    for data, message in (
        (b"HANG", "takes more than 1 s"),
        (b"KILL", "ends the process: SIGSEGV"),
        (b"EAT", "takes more than 3072 MB"),
    ):
        with pytest.raises(UnreadableImage, match=message):
            list(decoder.pictures(data))
        assert len(list(decoder.pictures(str(picture)))) == 1


def test_a_picture_whose_process_was_killed_by_another_fault_gets_a_second_one(harm, decoder, tmp_path):
    with pytest.raises(UnreadableImage, match="spared"):
        list(decoder.pictures(b"KILL ONCE " + os.fsencode(tmp_path / "killed")))


def test_a_hanging_child_does_not_outlive_its_limit_when_its_parent_is_gone(harm, decoder):
    decoder._child = child = decoder._start()
    child.stdin.write(b"\1" + (4).to_bytes(8, "big") + b"HANG")
    child.stdin.flush()
    start = time.monotonic()
    assert child.wait(60) == -14 and time.monotonic() - start < 55
