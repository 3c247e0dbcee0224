"""Scoring on a Ray cluster of two nodes, which are processes: the local engine's rows, whatever dies meanwhile."""

import csv
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harmful_pictures import HARM
from PIL import Image

import clicv2_keras
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.procedural import procedural_image

SCRIPT = Path(sys.executable).parent / "clicv2-keras"
ROOT = Path(__file__).parents[3]
COLUMNS = ["file", "score", "width", "height", "error"]
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
def cluster(place):
    """Two nodes of one core each; this process is their driver."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{place}{os.pathsep}{ROOT}")
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


def test_rows_are_those_of_the_local_engine(cluster, place, pictures, tmp_path):
    import ray

    from clicv2_keras.deployment.scoring.ray import score_corpus, score_dataset

    folder, shards, found = pictures
    told = []
    inputs = [folder, shards / "a.tar", shards / "*.parquet", tmp_path / "none.jpg"]
    summary = score_corpus(inputs, tmp_path / "scores", price=0.04, report=lambda s: told.append(s.line()))
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

    # As a step of a pipeline: bytes, and pixels.
    scored = score_dataset(ray.data.read_parquet(str(shards / "b.parquet")), "jpg", maps=True, embeddings=True)
    for row in scored.take_all():
        expected = by_name[str(folder / row["caption"])]
        assert (row["score"], row["width"], row["height"], row["error"]) == expected
        if row["error"]:
            assert row["map"] is None and row["embedding"] is None
        else:
            score = clicv2_keras.Scorer().score(row["jpg"])
            assert np.array_equal(np.array(row["map"], np.float32), score.map)
            assert np.array_equal(np.array(row["embedding"], np.float32), score.embedding)
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
