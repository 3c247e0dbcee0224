"""Scoring on a Ray cluster of two nodes, which are processes: the local engine's rows, whatever dies meanwhile."""

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harmful_pictures import HARM
from PIL import Image

import clicv2_keras
from clicv2_keras.deployment.scoring.selection import Selection
from clicv2_keras.utils.errors import RunAborted, UserError
from clicv2_keras.utils.procedural import procedural_image

SCRIPT = Path(sys.executable).parent / "clicv2-keras"
ROOT = Path(__file__).parents[3]
COLUMNS = ["file", "score", "width", "height", "error"]
# Where there are thousands of pictures: a preset that takes a fraction of the default's time.
LIGHT = "clicv2_vit_tiny_d4_patch16_128"
# Stands for a package that no worker may import: it leaves a trace.
FORBIDDEN = """
open({trace!r}, "a").write(__name__ + "\\n")
raise ImportError("not on a worker")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what each process of the cluster has on its path: harmful pictures, no Keras, no TensorFlow."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "sitecustomize.py").write_text(HARM)
    for name in ("keras", "tensorflow"):
        (folder / f"{name}.py").write_text(FORBIDDEN.format(trace=str(folder / "imported")))
    return folder


@pytest.fixture(scope="module")
def store_settings():
    """Where an object store on loopback will be, in the words of AWS's clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    return keys | {"AWS_ENDPOINT_URL": endpoint}


@pytest.fixture(scope="module")
def cluster(place, store_settings):
    """Two nodes of one core each; this process is their driver."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{place}{os.pathsep}{ROOT}")
        for name, value in store_settings.items():
            patch.setenv(name, value)
        node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        try:
            cluster.add_node(**node)
            ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def encoded(seed, size=60, form="JPEG"):
    stream = io.BytesIO()
    Image.fromarray(procedural_image(seed, size)[0]).save(stream, form)
    return stream.getvalue()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures, a broken one and a harmful one in a folder, in a tar shard and in Parquet."""
    folder = tmp_path_factory.mktemp("pictures")
    found = {f"{number}.jpg": encoded(number) for number in range(6)}
    found |= {"broken.jpg": b"text", "kills.png": b"KILL", "more/a.png": encoded(9, 80, "PNG")}
    (folder / "more").mkdir()
    for name, data in found.items():
        (folder / name).write_bytes(data)
    beside = tmp_path_factory.mktemp("shards")
    with tarfile.open(beside / "a.tar", "w") as archive:
        for name, data in found.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
            archive.addfile(tarfile.TarInfo(f"{name}.json"))
    table = pa.table({"jpg": list(found.values()), "caption": list(found)})
    pq.write_table(table, beside / "b.parquet", row_group_size=5)
    return folder, beside, found


def rows_of(folder):
    """Tuples of a data set, sorted."""
    return sorted(map(tuple, (row.values() for row in pq.read_table(folder).select(COLUMNS).to_pylist())))


def local_rows(paths, **options):
    """The local engine's, sorted; its own process would not survive the harmful one."""
    return sorted(tuple(row) for row in clicv2_keras.score([p for p in paths if "kills" not in str(p)], **options))


@pytest.mark.slow
def test_rows_are_those_of_the_local_engine(cluster, place, pictures, tmp_path):
    from clicv2_keras.deployment.scoring.ray import score_corpus

    folder, shards, found = pictures
    told = []
    inputs = [folder, shards / "a.tar", shards / "*.parquet", tmp_path / "none.jpg"]
    report = lambda s: told.append(s.line())  # noqa: E731
    summary = score_corpus(inputs, tmp_path / "scores", workers=5, price=0.04, report=report)
    # There are two cores, and no more cost anything.
    assert summary.workers == 2 and any("on 2 cores" in line for line in summary.lines())
    rows = rows_of(tmp_path / "scores")
    files = [folder / name for name in found]
    wanted = local_rows([*files, tmp_path / "none.jpg"])
    harmful = (None, None, None, "decoding it ends the process: SIGSEGV")
    assert [row for row in rows if row[0].startswith(str(folder)) or "none" in row[0]] == sorted(
        [*wanted, (str(folder / "kills.png"), *harmful)]
    )
    # The same pictures from a tar and from Parquet.
    by_name = {row[0]: row[1:] for row in wanted} | {str(folder / "kills.png"): harmful}
    for number, name in enumerate(found):
        for copy in (shards / "a.tar" / name, shards / "b.parquet" / str(number)):
            assert (str(copy), *by_name[str(folder / name)]) in rows
    assert len(rows) == summary.rows == summary.images == 3 * len(found) + 1
    assert summary.failures == {
        "not an image that Pillow can read": 3,
        "decoding it ends the process: SIGSEGV": 3,
        "no such file": 1,
    }
    assert any("core hours x 0.04" in line for line in summary.lines())
    assert told and told[-1].startswith("100.0%  28 images") and "7 failed" in told[-1]
    assert sorted(path.name[:5] for path in (tmp_path / "scores").iterdir()) == ["_sett", *["part-"] * 5]
    assert not (tmp_path / "scores.partial").exists()
    assert not (place / "imported").exists()

    # As docs/corpus.md reads them.
    files = f"{tmp_path}/scores/part-*.parquet"
    scored = [row[1] for row in rows if row[1] is not None]
    assert sorted(pandas.read_parquet(tmp_path / "scores").score.dropna()) == sorted(scored)
    assert polars.read_parquet(files).height == len(rows)
    assert duckdb.sql(f"SELECT count(*), count(score) FROM '{files}'").fetchall() == [(len(rows), len(scored))]


def test_rows_that_are_lost_or_doubled_are_told(tmp_path):
    from clicv2_keras.deployment.scoring.ray.job import _check
    from clicv2_keras.deployment.scoring.ray.parts import SUMMARY, Parts, schema_of
    from clicv2_keras.deployment.scoring.ray.summary import Summary

    parts = Parts(str(tmp_path / "scores"))
    with pytest.raises(UserError, match="give one of them"):
        parts.begin({}, resume=True, force=True)
    parts.begin({}, resume=False, force=False)
    counted = {"inputs": 2, "images": 2, "expected": 2, "failures": {}, "seconds": 1.0}

    def check(files, inputs):
        schema = schema_of("model", embeddings=False).with_metadata({SUMMARY: json.dumps(counted)})
        rows = [dict.fromkeys(schema.names) | {"file": file} for file in files]
        pq.write_table(pa.Table.from_pylist(rows, schema), f"{parts.folder}/part-0.parquet")
        summary = Summary(listed=2, workers=1)
        summary.add(counted | {"rows": 2}, listed=2)
        _check(parts, summary, inputs, "scores")

    check(["a.jpg", "b.jpg"], inputs=2)
    for files, inputs, told in (
        (["a.jpg"], 2, "1 rows of 2 are there, for 2 of 2 inputs"),
        (["a.jpg", "b.jpg", "b.jpg"], 2, "3 rows of 2 are there"),
        (["a.jpg", "b.jpg"], 3, "for 2 of 3 inputs"),
    ):
        with pytest.raises(RunAborted, match=told):
            check(files, inputs)
    (tmp_path / "scores.partial" / "part-1.parquet").write_bytes(b"cut")
    with pytest.raises(UserError, match="part-1.parquet: cannot be read; remove it, and --resume scores its inputs"):
        parts.digests("part-1.parquet")


def test_what_begins_anew_replaces_earlier_scores_once_it_is_done(tmp_path):
    from clicv2_keras.deployment.scoring.ray.parts import Parts

    output = tmp_path / "scores"

    def begun(settings, **how):
        parts = Parts(str(output))
        parts.begin(settings, **{"resume": False, "force": False} | how)
        return parts

    def add(parts, name):
        Path(parts.folder, name).write_text(name)

    parts = begun({"tile": 1})
    add(parts, "part-old.parquet")
    parts.finish()
    # A mistake changes nothing.
    begun({"tile": 2}, force=True).undo()
    assert [path.name for path in tmp_path.iterdir()] == ["scores"] and (output / "part-old.parquet").exists()
    # Nor does a job that is killed, and what goes on is the new one.
    add(begun({"tile": 2}, force=True), "part-new.parquet")
    assert (output / "part-old.parquet").exists()
    with pytest.raises(UserError, match="of another model"):
        begun({"tile": 1}, resume=True)
    parts = begun({"tile": 2}, resume=True)
    assert parts.names() == {"part-new.parquet"} and (output / "part-old.parquet").exists()
    parts.finish()
    assert {path.name for path in output.iterdir()} == {"_settings.json", "part-new.parquet"}
    assert not Path(parts.folder).exists()
    # Begun anew again, what was left half-way goes, once nothing is wrong.
    add(begun({"tile": 3}, force=True), "part-half.parquet")
    begun({}, force=True).undo()
    assert begun({"tile": 3}, resume=True).names() == {"part-half.parquet"}
    parts = begun({}, force=True)
    assert parts.stale == {"part-half.parquet"}
    parts.remove_stale()
    assert parts.names() == set() and begun({}, resume=True).names() == set()


def test_units_grow_with_the_job_and_a_shard_is_one_by_itself():
    from clicv2_keras.deployment.scoring.corpus_inputs import Input
    from clicv2_keras.deployment.scoring.ray.units import units_of

    files = [Input(f"{number}.jpg") for number in range(5000)]
    inputs = [*files[:600], Input("a.tar"), Input("t.parquet", group=3), *files[600:]]
    units = list(units_of(inputs))
    assert [found for unit in units for found in unit] == inputs and units == list(units_of(iter(inputs)))
    sizes = [len(unit) for unit in units]
    assert sizes[:18] == [32] * 16 + [64, 24] and sizes[18:20] == [1, 1] and sizes[20] == 64
    assert max(sizes) == 256 and sizes[20:-1] == sorted(sizes[20:-1])
    # A job of a thousand pictures has work for two dozen workers.
    assert len(list(units_of(files[:1000]))) == 24


def test_a_cluster_that_is_not_there_is_told_at_once(monkeypatch):
    from clicv2_keras.deployment.scoring.ray.job import _check_address

    # Of another test's cluster this one is no part.
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(UserError, match="--ray-address 127.0.0.1:1: no cluster answers there"):
        _check_address("127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match="127.0.0.1:1: no cluster answers there"):
        _check_address(None)


def start(inputs, output, cluster, *options):
    """The command line as a driver of its own."""
    command = [SCRIPT, "score", *inputs, "--engine", "ray", "--output", output, "--ray-address", cluster.address]
    command = [str(part) for part in (*command, *options)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def wait_for_parts(folder, count, process):
    until = time.monotonic() + 240
    while len(found := {path: path.stat().st_mtime_ns for path in folder.glob("part-*")}) < count:
        assert process.poll() is None and time.monotonic() < until, process.stderr.read()
        time.sleep(0.01)
    return found


@pytest.mark.slow
def test_a_step_of_a_pipeline_takes_bytes_paths_and_pixels(cluster, place, pictures):
    import ray

    from clicv2_keras.deployment.scoring.ray import score_dataset

    folder, shards, found = pictures
    wanted = {Path(row[0]).name: row[1:] for row in local_rows([folder / name for name in found])}
    wanted["kills.png"] = (None, None, None, "decoding it ends the process: SIGSEGV")
    # As a step of a pipeline: bytes, and pixels.
    scored = score_dataset(ray.data.read_parquet(str(shards / "b.parquet")), "jpg", maps=True, embeddings=True)
    for row in scored.take_all():
        assert tuple(row[name] for name in COLUMNS[1:]) == wanted[Path(row["caption"]).name]
        if row["error"]:
            assert row["map"] is None and row["embedding"] is None
        else:
            score = clicv2_keras.Scorer().score(row["jpg"])
            assert np.array_equal(np.array(row["map"], np.float32), score.map)
            assert np.array_equal(np.array(row["embedding"], np.float32), score.embedding)
    paths = ray.data.from_items([{"path": str(folder / name)} for name in found])
    for row in score_dataset(paths, "path").take_all():
        assert tuple(row[name] for name in COLUMNS[1:]) == wanted[Path(row["path"]).name]
    pixels = [procedural_image(seed, 60 + seed)[0] for seed in range(3)]
    scored = score_dataset(ray.data.from_items([{"image": image} for image in pixels]), "image").take_all()
    assert sorted(row["score"] for row in scored) == sorted(
        round(score.score, 6) for score in clicv2_keras.Scorer().score(pixels)
    )
    assert not (place / "imported").exists()
    with pytest.raises(UserError, match="column none"):
        score_dataset(ray.data.from_items([{"image": 1}]), "none")

    # The nodes' metrics, as the dashboard's Prometheus reads them.
    until, text = time.monotonic() + 30, ""
    while "clicv2_keras_images_failed" not in text and time.monotonic() < until:
        time.sleep(0.5)
        ports = [node["MetricsExportPort"] for node in ray.nodes()]
        text = "".join(urllib.request.urlopen(f"http://127.0.0.1:{port}").read().decode() for port in ports)
    assert "clicv2_keras_images_scored" in text and "clicv2_keras_images_failed" in text


@pytest.mark.slow
def test_what_dies_costs_no_row_and_nothing_is_scored_twice(cluster, pictures, tmp_path):
    folder, _, found = pictures
    many = tmp_path / "many"
    many.mkdir()
    for number in range(2560):
        (many / f"{number}.jpg").symlink_to(folder / f"{number % 6}.jpg")
    output, partial = tmp_path / "scores", tmp_path / "scores.partial"
    node = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)

    # The driver, which cannot tell anybody.
    driver = start([many], output, cluster, "--model", LIGHT)
    wait_for_parts(partial, 2, driver)
    driver.kill()
    driver.communicate()
    assert not output.exists()
    time.sleep(5)  # its workers notice
    before = {path.name: path.stat().st_mtime_ns for path in partial.glob("part-*")}
    assert 2 <= len(before) < 40
    there = sum(pq.read_metadata(partial / name).num_rows for name in before)

    # A worker, then a node with its workers.
    driver = start([many], output, cluster, "--model", LIGHT, "--resume")
    wait_for_parts(partial, len(before) + 1, driver)
    workers = [p for p in psutil.Process().children(recursive=True) if "UnitScorer" in p.name() + str(p.cmdline())]
    assert len(workers) > 1
    workers[0].kill()
    wait_for_parts(partial, len(before) + 3, driver)
    for processes in node.all_processes.values():
        for information in processes:
            information.process.kill()
    _, told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    assert "2,560 images, 2,560 rows, 0 failed" in told
    assert f"{there:,} rows were there" in told
    six = local_rows([folder / f"{number}.jpg" for number in range(6)], model=LIGHT)
    wanted = {Path(row[0]).name: row[1:] for row in six}
    names = sorted(str(many / f"{number}.jpg") for number in range(2560))
    assert rows_of(output) == [(name, *wanted[f"{int(Path(name).stem) % 6}.jpg"]) for name in names]
    after = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert len(after) == 40 and before.items() <= after.items()
    assert not partial.exists()


@pytest.mark.slow
def test_resume_scores_what_is_new_and_drops_what_is_gone(cluster, pictures, tmp_path):
    from clicv2_keras.deployment.scoring.ray import score_corpus

    folder, shards, _ = pictures
    mine, output = tmp_path / "mine", tmp_path / "scores"
    mine.mkdir()
    for number in range(6):
        (mine / f"{number}.jpg").write_bytes((folder / f"{number}.jpg").read_bytes())
    score_corpus([mine, shards / "a.tar"], output)
    with pytest.raises(UserError, match="--resume goes on, --force begins anew"):
        score_corpus([mine], output)
    with pytest.raises(UserError, match="of another model"):
        score_corpus([mine], output, tile=64, resume=True)
    (mine / "0.jpg").unlink()
    (mine / "1.jpg").write_bytes((folder / "5.jpg").read_bytes())
    (mine / "new.jpg").write_bytes((folder / "0.jpg").read_bytes())
    summary = score_corpus([mine, shards / "a.tar"], output, resume=True)
    assert summary.resumed == 4 + 9 and summary.images == 6 + 9
    rows = [row for row in rows_of(output) if row[0].startswith(str(mine))]
    assert rows == local_rows([mine])
    again = score_corpus([mine, shards / "a.tar"], output, resume=True)
    assert again.resumed == again.rows == 15
    assert len(rows_of(output)) == 15

    # Its own rows lie in the folder that is scored, and a mistake leaves them where they are.
    output.rename(mine / "scores")
    again = score_corpus([mine, shards / "a.tar"], mine / "scores", resume=True)
    assert again.resumed == again.rows == 15
    with pytest.raises(UserError, match="named more than once"):
        score_corpus([mine, mine / "2.jpg"], mine / "scores", resume=True)
    assert len(rows_of(mine / "scores")) == 15 and not (mine / "scores.partial").exists()


@pytest.mark.slow
def test_resume_tries_again_what_could_not_be_read(cluster, pictures, tmp_path):
    from clicv2_keras.deployment.scoring.ray import score_corpus

    folder, shards, _ = pictures
    mounted, inputs = tmp_path / "mounted", [folder / "0.jpg", tmp_path / "mounted" / "1.jpg", tmp_path / "a.tar"]
    whole = (shards / "a.tar").read_bytes()
    inputs[2].write_bytes(whole[:2000])
    stamp = os.stat(inputs[2])
    assert score_corpus(inputs, tmp_path / "scores").failed == 2
    mounted.mkdir()
    inputs[1].write_bytes((folder / "1.jpg").read_bytes())
    # As after a fault of a disk: the same size and time.
    os.utime(inputs[2], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again = score_corpus(inputs, tmp_path / "scores", resume=True)
    assert again.resumed == 1 and again.failed == 1 and again.rows == len(rows_of(tmp_path / "scores"))
    assert [row[4] for row in rows_of(tmp_path / "scores") if row[0] == str(inputs[1])] == [None]


@pytest.mark.slow
def test_resume_heeds_a_shard_that_was_empty(cluster, pictures, tmp_path):
    from clicv2_keras.deployment.scoring.ray import score_corpus

    folder, shards, _ = pictures
    tarfile.open(tmp_path / "a.tar", "w").close()
    inputs = [folder / "0.jpg", tmp_path / "a.tar"]
    assert score_corpus(inputs, tmp_path / "scores").rows == 1
    assert score_corpus(inputs, tmp_path / "scores", resume=True).rows == 1
    (tmp_path / "a.tar").write_bytes((shards / "a.tar").read_bytes())
    assert score_corpus(inputs, tmp_path / "scores", resume=True).rows == 10


@pytest.mark.slow
def test_tiles_are_those_of_the_local_engine(cluster, pictures, tmp_path):
    from clicv2_keras.deployment.scoring.ray import score_corpus

    folder, _, found = pictures
    summary = score_corpus([folder], tmp_path / "scores", tile=32, stride=20)
    rows = [row for row in rows_of(tmp_path / "scores") if "kills" not in row[0]]
    assert rows == local_rows([folder / name for name in found], tile=32, stride=20)
    assert summary.rows == len(rows) + 1 > 6 * 9


@pytest.mark.slow
def test_an_object_store_holds_inputs_and_output(cluster, store_settings, pictures, tmp_path):
    import s3fs
    from moto.server import ThreadedMotoServer

    from clicv2_keras.deployment.scoring.ray import score_corpus

    folder, shards, found = pictures
    server = ThreadedMotoServer("127.0.0.1", int(store_settings["AWS_ENDPOINT_URL"].rpartition(":")[2]), verbose=False)
    server.start()
    try:
        store = s3fs.S3FileSystem()
        store.mkdir("corpus")
        store.put(str(folder), "corpus/pictures", recursive=True)
        store.put(str(shards), "corpus/shards", recursive=True)
        inputs = ["s3://corpus/pictures", "s3://corpus/shards/*", "s3://corpus/none.jpg"]
        summary = score_corpus(inputs, "s3://corpus/scores")
        assert summary.rows == 3 * len(found) + 1
        names = [row["file"] for row in pq.read_table("corpus/scores", filesystem=store).to_pylist()]
        assert "s3://corpus/shards/a.tar/more/a.png" in names and "s3://corpus/shards/b.parquet/8" in names
        scores = {row[0]: row[1:] for row in rows_of_store(store, "corpus/scores")}
        for name, *rest in local_rows([folder / name for name in found]):
            assert scores[f"s3://corpus/pictures/{Path(name).relative_to(folder)}"] == tuple(rest)
        assert not store.exists("corpus/scores.partial")
        selection = Selection("s3://corpus/scores", top_share=1)
        assert selection.kept == int(selection.counts.sum()) > selection.failed > 0
        store.pipe_file("corpus/pictures/0.jpg", found["1.jpg"])
        summary = score_corpus(inputs, "s3://corpus/scores", resume=True)
        # The two that cannot be decoded and the one that is not there are tried again.
        assert (summary.rows, summary.resumed) == (3 * len(found) + 1, 3 * len(found) - 3)
    finally:
        server.stop()


def rows_of_store(store, folder):
    table = pq.read_table(folder, filesystem=store).select(COLUMNS)
    return [tuple(row.values()) for row in table.to_pylist()]
