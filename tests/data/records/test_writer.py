import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from draw_image import draw_image
from PIL import Image

import clicv2_keras
from clicv2_keras.data.records.shard import sha256
from clicv2_keras.data.sources import open_source
from clicv2_keras.training.prepare import prepare
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import FolderLock
from clicv2_keras.utils.procedural import procedural_image


@pytest.fixture
def photos(tmp_path):
    """Ten images of 60 x 40 pixels, one of them a PNG with alpha, and two broken ones."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for seed in range(9):
        pixels, _ = procedural_image(seed, 60)
        Image.fromarray(pixels[:40]).save(folder / ("more" if seed % 2 else "") / f"{seed}.jpg", quality=90)
    Image.new("RGBA", (60, 40), (255, 0, 0, 128)).save(folder / "alpha.png")
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "more" / "head.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


SCRIPT = Path(sys.executable).parent / "clicv2-keras"
# MB: three or four of the small images a shard.
SHARD = 0.006


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(source):
    return {source.name(i): np.asarray(source.load(i)) for i in range(len(source))}


def test_records_hold_the_readable_images_bit_for_bit(photos, tmp_path):
    out = tmp_path / "records"
    prepared = prepare(photos, out, SHARD, progress=False)
    assert prepared[:3] == (out, 10, 2) and prepared.shards == len(list(out.glob("*.tar"))) >= 3
    records = open_source("records", out)
    names = {records.name(i) for i in range(len(records))}
    assert names == {p.relative_to(photos).as_posix() for p in photos.rglob("*.*g")} - {"cut.jpg", "more/head.jpg"}
    for i in range(len(records)):
        np.testing.assert_array_equal(records.load(i), clicv2_keras.utils.images.open_rgb(photos / records.name(i)))
    with open(out / "bad.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["cut.jpg", "more/head.jpg"] and all(row["reason"] for row in rows)


def test_a_shard_is_a_tar_that_anyone_reads(photos, tmp_path):
    prepare(photos, tmp_path / "records", SHARD, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "records" / "index.jsonl").read_text().splitlines()]
    assert lines[0]["images"] == sum(line["count"] for line in lines[1:]) == 10
    for line in lines[1:]:
        path = tmp_path / "records" / line["shard"]
        assert sha256(path) == line["sha256"]
        with tarfile.open(path) as tar:
            assert len({member.name.split(".")[0] for member in tar}) == line["count"]
            for member, (name, offset, length, _) in zip(tar.getmembers(), line["images"], strict=True):
                assert tar.extractfile(member).read() == (photos / name).read_bytes()
                assert (member.offset_data, member.size) == (offset, length)
                assert Path(member.name).suffix == Path(name).suffix


def test_a_side_shrinks_what_is_larger_and_keeps_the_rest(photos, tmp_path):
    Image.new("RGB", (12, 30), "navy").save(photos / "small.png")
    upright = Image.new("RGB", (300, 200), "teal")
    exif = upright.getexif()
    exif[0x0112] = 6
    upright.save(photos / "turned.jpg", exif=exif)
    prepare(photos, tmp_path / "records", side=20, progress=False)
    seen = pixels(open_source("records", tmp_path / "records"))
    assert seen["0.jpg"].shape == (20, 30, 3) and seen["turned.jpg"].shape == (30, 20, 3)
    assert seen["small.png"].shape == (30, 12, 3) and (seen["small.png"] == (0, 0, 128)).all()
    np.testing.assert_allclose(seen["alpha.png"].mean(axis=(0, 1)), (255, 127, 127), atol=3)
    whole = Image.open(photos / "0.jpg").resize((30, 20), Image.Resampling.LANCZOS)
    assert np.abs(seen["0.jpg"].astype(int) - np.asarray(whole)).mean() < 12


def test_killed_and_called_again_it_gives_the_same_bytes(photos, tmp_path):
    for i in range(300):
        (photos / f"again{i:03}.jpg").write_bytes((photos / "0.jpg").read_bytes())
    prepare(photos, tmp_path / "whole", SHARD, progress=False)
    out = tmp_path / "records"
    command = [SCRIPT, "prepare", photos, out, "--shard-size", str(SHARD)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(list(out.glob("*.json"))) < 5 and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = set(content(out))
    assert "index.jsonl" not in there
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "are there already" in result.stdout and "2 could not be read, see bad.csv" in result.stdout
    assert content(out) == content(tmp_path / "whole")


def test_a_full_disk_is_told_with_its_file_and_leaves_nothing_unfinished(photos, tmp_path):
    out = tmp_path / "records"
    out.mkdir()
    (out / "unfinished_00000.tar").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        prepare(photos, out, SHARD, progress=False)
    assert caught.value.filename == str(out / "00000.tar")
    assert not list(out.glob("unfinished*"))
    assert prepare(photos, out, SHARD, progress=False).images == 10


def test_two_processes_do_not_pack_into_one_folder(photos, tmp_path):
    out = tmp_path / "records"
    out.mkdir()
    with FolderLock(out), pytest.raises(UserError, match="another process is at work there"):
        prepare(photos, out, progress=False)
    # What one that was killed leaves.
    (out / ".lock").touch()
    prepare(photos, out, progress=False)
    assert not (out / ".lock").exists()


def test_the_command_goes_on_with_what_python_began(photos, tmp_path):
    prepare(photos, tmp_path / "records", progress=False)
    subprocess.run([SCRIPT, "prepare", photos, tmp_path / "records"], stdout=subprocess.DEVNULL, check=True)


def test_images_that_were_mended_are_read_where_nothing_is_packed_yet(tmp_path):
    draw_image(tmp_path / "photos" / "a.jpg")
    whole = (tmp_path / "photos" / "a.jpg").read_bytes()
    (tmp_path / "photos" / "a.jpg").write_bytes(whole[:100])
    with pytest.raises(UserError, match="none of the 1 images can be read"):
        prepare(tmp_path / "photos", tmp_path / "records", progress=False)
    (tmp_path / "photos" / "a.jpg").write_bytes(whole)
    assert prepare(tmp_path / "photos", tmp_path / "records", progress=False).images == 1


def test_other_images_of_the_same_names_are_told(photos, tmp_path):
    prepare(photos, tmp_path / "records", progress=False)
    pixels = np.asarray(Image.open(photos / "0.jpg"))
    Image.fromarray(255 - pixels).save(photos / "0.jpg")
    with pytest.raises(UserError, match="other images or options"):
        prepare(photos, tmp_path / "records", progress=False)


def test_no_shard_stays_that_the_new_ones_do_not_reach(photos, tmp_path):
    out = tmp_path / "records"
    prepare(photos, out, SHARD, progress=False)
    before = content(out)
    # As if more of them had been packed once: with the same plan, and whole.
    last = max(name for name in before if name.endswith(".tar"))
    line = json.loads((out / last).with_suffix(".json").read_text())
    number = int(last.removesuffix(".tar")) + 1
    shutil.copy(out / last, out / f"{number:05}.tar")
    (out / f"{number:05}.json").write_text(json.dumps(line | {"shard": f"{number:05}.tar"}))
    (out / "00001.tar").unlink()
    prepare(photos, out, SHARD, progress=False)
    assert content(out) == before


def test_finished_shards_tell_what_was_unreadable_then(photos, tmp_path, capsys):
    for _ in range(2):
        prepare(photos, tmp_path / "records")
    assert "2 unreadable then: name a new OUTPUT to read them again" in capsys.readouterr().out


def test_a_damaged_shard_is_packed_again(photos, tmp_path):
    out = tmp_path / "records"
    prepare(photos, out, SHARD, progress=False)
    before = content(out)
    shard = bytearray(before["00001.tar"])
    shard[600] ^= 1
    (out / "00001.tar").write_bytes(shard)
    prepare(photos, out, SHARD, progress=False)
    assert content(out) == before


def test_a_name_that_is_not_unicode_is_packed_and_read(photos, tmp_path):
    os.rename(photos / "0.jpg", os.fsencode(photos) + b"/\xff.jpg")
    prepare(photos, tmp_path / "records", SHARD, progress=False)
    source = open_source("records", tmp_path / "records")
    assert "\udcff.jpg" in [source.name(i) for i in range(len(source))]


def test_a_broken_image_of_such_a_name_is_told(photos, tmp_path):
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"\xff\xd8\xff broken")
    prepare(photos, tmp_path / "records", progress=False)
    assert b"caf\xe9.jpg" in (tmp_path / "records" / "bad.csv").read_bytes()
    assert len(open_source("records", tmp_path / "records")) > 0


@pytest.mark.parametrize("line", ["null", "{", '{"plan": 3}', "[" * 3000])
def test_a_broken_line_of_a_shard_is_packed_again(photos, tmp_path, line):
    out = tmp_path / "records"
    prepare(photos, out, SHARD, progress=False)
    before = content(out)
    (out / "00001.json").write_text(line)
    prepare(photos, out, SHARD, progress=False)
    assert content(out) == before
    (out / "plan.json").write_text(line)
    with pytest.raises(UserError, match="other images or options"):
        prepare(photos, out, SHARD, progress=False)


def test_a_folder_of_another_programs_plan_stays_as_it_is(photos, tmp_path):
    theirs = {"plan.json": '{"plan": "more"}', "2023.json": "{}", "2024.tar": "", "bad.csv": "1"}
    for name, text in theirs.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".lock").write_text("pid 1")
    with pytest.raises(UserError, match="is not empty; name a new folder for the records"):
        prepare(photos, tmp_path, progress=False)
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == theirs | {".lock": "pid 1"}


def test_mistakes(photos, tmp_path):
    out = tmp_path / "records"
    out.mkdir()
    # What a call that was killed at once leaves.
    (out / "unfinished_plan.json").touch()
    prepare(photos, out, progress=False)
    with pytest.raises(UserError, match="other images or options"):
        prepare(photos, out, side=20, progress=False)
    with pytest.raises(UserError, match="is not empty"):
        prepare(photos, photos, progress=False)
    with pytest.raises(UserError, match="OUTPUT .*0.jpg: is a file; name a folder"):
        prepare(photos, photos / "0.jpg", progress=False)
    with pytest.raises(UserError, match="no such folder"):
        prepare(tmp_path / "none", tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "list.txt").write_text("photos/cut.jpg\nphotos/missing.jpg\n")
    with pytest.raises(UserError, match="none of the 2 images can be read"):
        prepare(tmp_path / "list.txt", tmp_path / "new", progress=False)
    assert "photos/missing.jpg,no such file" in (tmp_path / "new" / "bad.csv").read_text()
    with pytest.raises(UserError, match="no index.jsonl"):
        open_source("records", tmp_path / "new")


def test_a_run_trains_on_records_and_says_how_long_it_waits(photos, tmp_path):
    prepare(photos, tmp_path / "records", SHARD, progress=False)
    settings = (
        "data.image_size=32 encoder.width=16 encoder.depth=1 encoder.num_heads=2 contrast.projector_hidden=16 "
        "contrast.projection_dim=8 contrast.tokens=3 entropy.decoder_width=16 entropy.decoder_depth=1 "
        "data.jitter=0 train.batch_size=4 train.jit=false train.steps=4 run.log_every=2 data.source=records "
        f"data.path={tmp_path}/records run.dir={tmp_path}/run"
    )
    clicv2_keras.train("clicv2_vit_tiny", settings.split(), progress=False)
    with open(tmp_path / "run" / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 and all(0 <= float(row["data_wait"]) <= 1 for row in rows)
    assert "unreadable" not in (tmp_path / "run" / "log.txt").read_text()
