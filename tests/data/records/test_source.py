import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from clicv2_keras.data.pipeline import training_dataset
from clicv2_keras.data.records.source import GROUP, RecordSource
from clicv2_keras.data.records.storage import RemoteShards
from clicv2_keras.training.prepare import prepare
from clicv2_keras.utils.errors import UserError

COUNT = 40


@pytest.fixture
def records(photos, tmp_path):
    """A folder of records: ten shards of four images."""
    photo = (photos / "0").read_bytes()
    for path in photos.rglob("*.jpg"):
        path.unlink()
    (photos / "0").unlink()
    for i in range(COUNT):
        # What follows the end of a JPEG is no part of it: all are of one length, and different.
        (photos / f"{i:02}.jpg").write_bytes(photo + bytes([i]))
    prepare(photos, tmp_path / "records", shard_size=4.6 * (len(photo) + 513) / 1e6, progress=False)
    return tmp_path / "records"


def batches(source, count, **arguments):
    dataset = training_dataset(source, **{"image_size": 24, "batch_size": 8, "jitter": 0, **arguments})
    return [batch["image"] for batch in itertools.islice(dataset.as_numpy_iterator(), count)]


def in_object_storage(records):
    """TensorFlow's file system in memory stands for one of a cloud."""
    root = f"ram://{records}"
    for path in records.iterdir():
        with tf.io.gfile.GFile(f"{root}/{path.name}", "wb") as stream:
            stream.write(path.read_bytes())
    return root


def test_an_epoch_is_every_image_once_shuffled_over_the_shards(records):
    source = RecordSource(records)
    first, second = (source.order(np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(first) == sorted(second) == list(range(COUNT)) and (first != second).any()
    np.testing.assert_array_equal(first, source.order(np.random.default_rng(0)))
    for start in range(0, COUNT, 4 * GROUP):
        assert len(set(source.index.shard[first[start : start + 4 * GROUP]])) == min(GROUP, (COUNT - start) // 4)
    # Within a group images come from all its shards in turn, and within a shard from all over the folder.
    assert (np.diff(source.index.shard[first]) != 0).sum() > COUNT / 2
    assert [source.name(i) for i in range(COUNT)] != sorted(source.name(i) for i in range(COUNT))


def test_batches_are_a_function_of_seed_and_number_wherever_records_lie(records):
    local = batches(RecordSource(records), 8, seed=1)
    np.testing.assert_array_equal(local[6:], batches(RecordSource(records), 2, seed=1, start_step=6))
    np.testing.assert_array_equal(local, batches(RecordSource(in_object_storage(records)), 8, seed=1))


def test_remote_shards_come_once_each_and_are_let_go(records, monkeypatch):
    from clicv2_keras.data.records import storage

    fetched = []
    read = storage.read_bytes
    monkeypatch.setattr(storage, "read_bytes", lambda *part: fetched.append(part[0]) or read(*part))
    source = RecordSource(in_object_storage(records))
    held = []
    for image in source.order(np.random.default_rng(0)):
        source.load(image)
        held.append(len(source._remote._held))
    assert len(fetched) == len(set(fetched)) == 10
    shards = RemoteShards(source.root, source.index.shards, capacity=2)
    shards.follow([[number] for number in range(5)])
    for number in range(5):
        shards.read(number, 0, 1)
    assert len(shards._held) == 2


def test_a_few_images_of_remote_shards_are_read_alone(records, monkeypatch):
    """As of those that are held out, which lie in all shards."""
    from clicv2_keras.data.records import storage

    read, taken = storage.read_bytes, []
    source, local = RecordSource(in_object_storage(records)), RecordSource(records)
    monkeypatch.setattr(storage, "read_bytes", lambda *part: taken.append(len(read(*part))) or read(*part))
    for index in (3, 17, 30):
        np.testing.assert_array_equal(source.load(index), local.load(index))
    assert taken == [int(local.index.length[index]) for index in (3, 17, 30)] and not source._remote._held


def test_a_damaged_image_is_reported_and_a_missing_shard_is_a_mistake(records):
    path = records / "00003.tar"
    shard = bytearray(path.read_bytes())
    shard[600] ^= 1
    path.write_bytes(shard)
    seen = []
    batches(RecordSource(records), 6, on_unreadable=lambda name, reason: seen.append(reason))
    assert seen == ["differs from its checksum in 00003.tar"]
    shutil.copy(records / "00000.tar", path)
    with pytest.raises(UserError, match="damaged|differs"):
        shards = RemoteShards(records, RecordSource(records).index.shards, 3)
        shards.follow([[3]])
        shards.read(3, 0, 1)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="00003.tar: has 0 bytes"):
        RecordSource(records)
    path.unlink()
    with pytest.raises(UserError, match="00003.tar: is missing"):
        RecordSource(records)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: "null",
        lambda line: "[]",
        lambda line: "[" * 3000,
        lambda line: "",
        lambda line: json.dumps({key: value for key, value in line.items() if key != "count"}),
        lambda line: json.dumps(line | {"shard": "../00000.tar"}),
        lambda line: json.dumps(line | {"shard": "/etc/passwd"}),
        lambda line: json.dumps(line | {"count": line["count"] + 1}),
        lambda line: json.dumps(line | {"images": [["a.jpg", -1, 2, 3]] * line["count"]}),
        lambda line: json.dumps(line | {"images": [["a.jpg", 1]] * line["count"]}),
        lambda line: json.dumps(line | {"images": [["a.jpg", 0, 2**40, 3]] * line["count"]}),
        lambda line: json.dumps(line | {"images": [["a.jpg", 2**63, 2, 3]] * line["count"]}),
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_an_index_that_says_anything_else_is_damaged(records, change, number):
    index = records / "index.jsonl"
    lines = index.read_text().splitlines()
    lines[number] = change(json.loads(lines[1]))
    index.write_text("\n".join(lines))
    with pytest.raises(UserError, match="damaged|another version") as error:
        RecordSource(records)
    assert "\n" not in str(error.value)


def test_an_empty_index_is_damaged(records):
    for content in (b"", b"\xff\xfe", b"null"):
        (records / "index.jsonl").write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            RecordSource(records)


def test_what_cannot_hold_an_index_is_one_line(records):
    with pytest.raises(UserError, match="there is no index.jsonl"):
        RecordSource(records / "index.jsonl")
    with pytest.raises(UserError, match="its index.jsonl cannot be read: File name too long"):
        RecordSource(records / ("x" * 300))
