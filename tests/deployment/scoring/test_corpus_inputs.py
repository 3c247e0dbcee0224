"""What inputs of a corpus stand for: shards and tables to the last picture, what is broken told, no odd URL opened."""

import io
import json
import os
import re
import tarfile
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicv2_keras.deployment.scoring import corpus_members
from clicv2_keras.deployment.scoring.corpus_inputs import SETTINGS, Input, find_inputs, version_now
from clicv2_keras.deployment.scoring.corpus_members import member_of, members
from clicv2_keras.utils.errors import UserError

JPEG = b"\xff\xd8\xff\xe0rest"


def shard(path, entries):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_shard_gives_its_pictures_by_name_or_first_bytes(tmp_path, name):
    shard(tmp_path / name, {"1.jpg": b"text", "1.json": b"{}", "deep/2": JPEG, "3.txt": b"x", "4.JPG": JPEG})
    (found,) = find_inputs([tmp_path])
    assert found.file == str(tmp_path / name) and found.version.startswith(f"{(tmp_path / name).stat().st_size}-")
    assert [(m.key, m.source) for m in members(found)] == [("1.jpg", b"text"), ("deep/2", JPEG), ("4.JPG", JPEG)]


def test_a_shard_that_breaks_off_keeps_what_came_before(tmp_path, monkeypatch):
    shard(tmp_path / "a.tar", {"1.jpg": JPEG, "2.jpg": os.urandom(50_000), "3.jpg": JPEG})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[:20_000])
    first, last = members(Input(str(tmp_path / "a.tar")))
    assert first.key == "1.jpg" and last.key is None and "this shard breaks off" in last.error
    (tmp_path / "a.tar").write_bytes(data)
    monkeypatch.setattr(corpus_members, "MAX_BYTES", 1000)
    assert [(m.key, m.error) for m in members(Input(str(tmp_path / "a.tar")))] == [
        ("1.jpg", None),
        ("2.jpg", "its file is larger than 256 MB"),
        ("3.jpg", None),
    ]


def test_a_shard_with_a_broken_header_says_so(tmp_path):
    shard(tmp_path / "a.tar", {f"{number}.jpg": JPEG for number in range(4)})
    whole = (tmp_path / "a.tar").read_bytes()
    spoilt = bytearray(whole)
    spoilt[2 * 1024 + 10] ^= 1
    for data in (spoilt, whole[: 2 * 1024 + 100]):
        (tmp_path / "a.tar").write_bytes(data)
        first, second, last = members(Input(str(tmp_path / "a.tar")))
        assert (first.key, second.key, last.key) == ("0.jpg", "1.jpg", None) and "this shard breaks off" in last.error
    # The blocks of null bytes at the end may be missing.
    (tmp_path / "a.tar").write_bytes(whole[: 4 * 1024])
    assert [member.key for member in members(Input(str(tmp_path / "a.tar")))] == [f"{n}.jpg" for n in range(4)]


def test_a_hole_in_a_shard_and_two_shards_in_one_file_are_no_end(tmp_path):
    shard(tmp_path / "a.tar", {f"{number}.jpg": JPEG for number in range(4)})
    whole = (tmp_path / "a.tar").read_bytes()
    hole = whole[: 2 * 1024] + bytes(512) + whole[2 * 1024 + 512 :]
    lost = whole[: 2 * 1024] + bytes(500_000)
    for data, count in ((hole, 2), (lost, 2), (whole + whole, 4)):
        (tmp_path / "a.tar").write_bytes(data)
        *found, last = members(Input(str(tmp_path / "a.tar")))
        assert [member.key for member in found] == [f"{number}.jpg" for number in range(count)]
        assert last.key is None and last.error.startswith("this shard breaks off: its end comes before what it holds")


def test_a_name_with_colons_is_no_chain_of_readers(tmp_path):
    shard(tmp_path / "a::b.tar", {"1.jpg": JPEG})
    (found,) = find_inputs([tmp_path])
    assert [member.key for member in members(found)] == ["1.jpg"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_metadata_beside_a_shard_is_no_input_of_its_own(tmp_path, scheme):
    shard(tmp_path / "00000.tar", {"1.jpg": JPEG})
    for name in ("00000.parquet", "1.parquet"):
        pq.write_table(pa.table({"url": ["https://example.org/1.jpg"]}), tmp_path / name)
    for name in (tmp_path, f"{tmp_path}/*"):
        names = [found.file.rpartition("/")[2] for found in find_inputs([f"{scheme}{name}"])]
        assert names == ["00000.tar", "1.parquet"]
    (found,) = find_inputs([f"{scheme}{tmp_path}/00000.parquet"])
    assert found.group == 0


def test_a_store_is_asked_anew_what_it_holds(tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    store.dircache = {"what": "was there"}
    store.invalidate_cache = lambda path=None: asked.append(path)
    asked = []
    try:
        store.pipe_file("/pictures/a.jpg", JPEG)
        find_inputs(["memory://pictures"])
        version_now("memory://pictures/a.jpg")
        assert asked == [None, "/pictures/a.jpg"]
    finally:
        store.rm("/pictures", recursive=True)
        del store.invalidate_cache, store.dircache


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_name_in_a_shard_is_bounded(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("././@LongLink")
        entry.type, entry.size = kind, 2**20 + 1
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    (told,) = members(Input(str(tmp_path / "a.tar")))
    assert told.error == "this shard breaks off: a header of 1,048,577 bytes"
    shard(tmp_path / "a.tar", {"a" * 3000 + ".jpg": JPEG})
    (found,) = members(Input(str(tmp_path / "a.tar")))
    assert found.source == JPEG


def test_a_link_in_a_shard_has_its_row(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    os.symlink("a.jpg", tmp_path / "c.jpg")
    os.symlink("a.jpg", tmp_path / "d.txt")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg", "d.txt"):
            archive.add(tmp_path / name, name)
    first, *links = members(Input(str(tmp_path / "a.tar")))
    assert first.source == JPEG and [link.key for link in links] == ["b.jpg", "c.jpg"]
    assert all(link.error.startswith("is a link to a.jpg; make the shard with tar --dereference") for link in links)


def test_tables_without_rows_are_no_input(tmp_path):
    pq.ParquetWriter(tmp_path / "t.parquet", pa.schema({"jpg": pa.binary()})).close()
    with pytest.raises(UserError, match="no image is named"):
        list(find_inputs([tmp_path / "t.parquet"]))


def test_a_table_is_cut_by_row_groups_and_its_column_found(tmp_path):
    values = [JPEG, None, b"x", JPEG, b"y"]
    pq.write_table(pa.table({"caption": list("abcde"), "jpg": values}), tmp_path / "t.parquet", row_group_size=2)
    found = list(find_inputs([tmp_path / "t.parquet"]))
    assert [item.group for item in found] == [0, 1, 2]
    read = [member for item in found for member in members(item)]
    assert [member.key for member in read] == list("01234")
    assert [member.source for member in read] == values and read[1].error == "no image in this row"
    (told,) = members(found[0], column="picture")
    assert "no column picture; there are caption, jpg" in told.error
    assert list(find_inputs([tmp_path / "t.parquet"], column="jpg")) == found
    (tmp_path / "a.jpg").write_bytes(JPEG)
    with pytest.raises(UserError, match="--column jpg: is of Parquet inputs, and there is no Parquet file among these"):
        list(find_inputs([tmp_path / "a.jpg"], column="jpg"))
    (tmp_path / "t.parquet").write_bytes(b"PAR1 broken")
    (told,) = (member for item in find_inputs([tmp_path / "t.parquet"]) for member in members(item))
    assert told.error


def test_cells_open_no_url_but_an_object_stores(tmp_path):
    assert member_of("f", "k", {"bytes": None, "path": "a.jpg"}).source == "a.jpg"
    for url in ("http://169.254.169.254/x", "file:///dev/zero", "ftp://x/y", "zip://a::s3://b"):
        assert member_of("f", "k", url).error.startswith("its URL is of no object store")
    for url in ("https://example.org/a.jpg", "simplecache::http://169.254.169.254/x"):
        # Before anything else is listed.
        with pytest.raises(UserError, match="object stores"):
            next(find_inputs([tmp_path, url]))


def test_a_list_on_standard_input_is_of_all_that_can_be_named(tmp_path, monkeypatch):
    def listed(*lines):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("\n".join(map(str, lines)).encode())))
        return list(find_inputs(["-"]))

    shard(tmp_path / "a.tar", {"1.jpg": JPEG})
    (tmp_path / "b.jpg").write_bytes(JPEG)
    found = listed(tmp_path / "a.tar", "", f"file://{tmp_path}/b.jpg", "~\0path*")
    assert [item.file for item in found] == [str(tmp_path / "a.tar"), f"file://{tmp_path}/b.jpg", "~\0path*"]
    assert found[1].version and found[2].error == "not a path"
    with pytest.raises(UserError, match="object stores"):
        listed("http://169.254.169.254/x.jpg")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_scores_are_no_input_and_linked_folders_are(tmp_path, scheme):
    """A job in the folder of its pictures would else score them again by the column `file` of its own rows."""
    place, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for folder in (place / "scores.partial", elsewhere):
        folder.mkdir(parents=True)
    (place / "a.jpg").write_bytes(JPEG)
    pq.write_table(pa.table({"file": ["a.jpg"], "score": [0.5]}), place / "scores.partial" / "part-1.parquet")
    (place / "scores.partial" / SETTINGS).write_text("{}")
    shard(elsewhere / "b.tar", {"1.jpg": JPEG})
    (place / "linked").symlink_to(elsewhere)
    names = [os.path.relpath(item.file.removeprefix("file://"), place) for item in find_inputs([f"{scheme}{place}"])]
    assert names == (["a.jpg"] if scheme else ["a.jpg", "linked/b.tar"])
    # A glob that does not match what tells a folder of scores.
    (found,) = find_inputs([f"{scheme}{place}/**/*.parquet"])
    assert found.error == "no image matches"


def test_what_is_named_twice_is_refused_and_leaves_nothing(tmp_path):
    from clicv2_keras.deployment.scoring.ray.job import score_corpus

    shard(tmp_path / "a.tar", {"1.jpg": JPEG})
    with pytest.raises(UserError, match="1 files are named more than once"):
        score_corpus([tmp_path / "a.tar", tmp_path / "*.tar"], tmp_path / "scores")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_a_single_name_is_one(tmp_path):
    shard(tmp_path / "a.tar", {"1.jpg": JPEG})
    for name in (tmp_path / "a.tar", str(tmp_path / "a.tar")):
        assert [found.file for found in find_inputs(name)] == [str(tmp_path / "a.tar")]


def test_names_are_as_in_the_local_engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("b.jpg", "a.png", "notes.txt"):
        (tmp_path / "photos" / name).write_bytes(JPEG)
    (tmp_path / "photos" / "notes.txt").write_text("text")
    assert [item.file for item in find_inputs(["photos", "photos/*.jpg", "none.jpg"])] == [
        "photos/a.png",
        "photos/b.jpg",
        "photos/b.jpg",
        "none.jpg",
    ]
    (nothing,) = find_inputs(["*.bmp"])
    assert nothing.error == "no image matches"
    with pytest.raises(UserError, match="no image is named"):
        list(find_inputs([]))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_is_there_by_its_name_is_no_glob(tmp_path, scheme):
    (tmp_path / "set [1]").mkdir()
    for name in ("a[1].jpg", "a1.jpg", "set [1]/b.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    place = f"{scheme}{tmp_path}"
    found = list(find_inputs([f"{place}/a[1].jpg", f"{place}/set [1]", f"{place}/[a]1.jpg"]))
    assert [item.file for item in found] == [f"{place}/{name}" for name in ("a[1].jpg", "set [1]/b.jpg", "a1.jpg")]
    assert all(item.version for item in found)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_each_name_has_its_row(tmp_path, scheme):
    place = f"{scheme}{tmp_path}"
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo").write_bytes(JPEG)
    (tmp_path / "notes.txt").write_text("text")
    names = ["photo", "notes.txt", "none", "empty", "*.bmp"]
    found = list(find_inputs(f"{place}/{name}" for name in names))
    assert [item.file for item in found] == [f"{place}/{name}" for name in names]
    assert [bool(item.version) for item in found[:3]] == [True, True, False]
    assert [item.error for item in found[3:]] == ["no image in this folder", "no image matches"]
    told = {item.file: member.error for item in found for member in members(item)}
    assert told[f"{place}/photo"] is None and told[f"{place}/none"] == ("no such file" if scheme else None)


def test_a_store_without_credentials_is_told_and_leaves_scores_as_they_are(tmp_path, no_credentials):
    from clicv2_keras.deployment.scoring.ray.job import score_corpus

    for name in ("s3://bucket/photos", "s3://bucket/*.jpg", "s3://bucket/a.jpg"):
        with pytest.raises(UserError, match=f"{re.escape(name)}: cannot be listed: Unable to locate credentials"):
            list(find_inputs([name]))
    (member,) = members(Input("s3://bucket/a.jpg"))
    assert member.error == "Unable to locate credentials"
    with pytest.raises(UserError, match="--output s3://bucket/scores: Unable to locate credentials"):
        score_corpus([tmp_path], "s3://bucket/scores")
    with pytest.raises(UserError, match="cannot be listed"):
        score_corpus(["s3://bucket/photos"], tmp_path / "scores")
    assert not list(tmp_path.iterdir())


def test_who_stops_the_listing_finds_the_scores_as_they_were(tmp_path, monkeypatch):
    from clicv2_keras.deployment.scoring.ray.job import score_corpus
    from clicv2_keras.deployment.scoring.scorer import Scorer

    class Stopped(io.BytesIO):
        def readline(self, size):
            if line := super().readline(size):
                return line
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Stopped(b"a.jpg\n")))
    scores = tmp_path / "scores"
    scores.mkdir()
    settings = {"model": Scorer().identity, "tile": None, "embeddings": False, "column": None}
    (scores / SETTINGS).write_text(json.dumps(settings))
    rows = [{"file": "a.jpg", "score": 0.5, "source": "a.jpg", "version": "", "group": -1, "key": None}]
    rows[0]["error"] = None
    pq.write_table(pa.Table.from_pylist(rows), scores / "part-0.parquet")
    with pytest.raises(KeyboardInterrupt):
        score_corpus(["-"], scores, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]
    assert sorted(path.name for path in scores.iterdir()) == [SETTINGS, "part-0.parquet"]
