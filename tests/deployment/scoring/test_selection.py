"""What is kept of scores: exactly the share, whatever file they are in, and the very pictures and tiles."""

import io
import json
import os
import re
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from clicv2_keras.cli.main import main
from clicv2_keras.data.sources import open_source
from clicv2_keras.deployment.scoring import corpus_members
from clicv2_keras.deployment.scoring.corpus_inputs import SETTINGS, Input, version_now
from clicv2_keras.deployment.scoring.rows import Csv, JsonLines, Row
from clicv2_keras.deployment.scoring.run import score_to_file
from clicv2_keras.deployment.scoring.selection import Selection
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.text import unicode_name


def write(path, scores):
    form = Csv() if path.suffix == ".csv" else JsonLines()
    rows = [Row(f"{number}.jpg", score, 10, 10) for number, score in enumerate(scores)]
    rows.append(Row('odd, "name"\nof two lines.jpg', error="no such file"))
    path.write_bytes(form.header + b"".join(map(form.encode, rows)))
    return path


def encoded(color, form):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_limits_hold_to_the_last_digit(tmp_path, ending):
    scores = [0.1, 0.299999, 0.3, 0.300001, 0.7, 1.0, 0.0]
    path = write(tmp_path / f"scores{ending}", scores)

    def kept(**limits):
        selection = Selection(path, **limits)
        names = [row["file"] for row in selection.rows()]
        assert selection.kept == len(names)
        return [scores[int(name.removesuffix(".jpg"))] for name in names]

    assert kept() == scores and Selection(path).failed == 1
    assert kept(least=0.3) == [0.3, 0.300001, 0.7, 1.0]
    assert kept(most=0.3) == [0.1, 0.299999, 0.3, 0.0]
    assert kept(least=0.3, most=0.7) == [0.3, 0.300001, 0.7]
    assert kept(top_share=3 / 7) == [0.300001, 0.7, 1.0]
    assert kept(top_share=0.001) == [1.0]
    assert kept(top_share=0.9, least=0.7) == [0.7, 1.0]


def test_a_share_agrees_with_sorting_and_keeps_ties(tmp_path):
    scores = np.random.default_rng(0).integers(0, 50, 400) / 50
    path = write(tmp_path / "scores.csv", scores.tolist())
    for share in (0.01, 0.2, 0.5, 1):
        wanted = scores >= np.sort(scores)[::-1][round(share * 400) - 1]
        names = {row["file"] for row in Selection(path, top_share=share).rows()}
        assert names == {f"{number}.jpg" for number in np.flatnonzero(wanted)}


def test_the_command_writes_the_list_and_the_histogram(tmp_path):
    path, kept = write(tmp_path / "scores.csv", [0.1, 0.5, 0.52, 1.0]), tmp_path / "new" / "kept.txt"
    result = CliRunner().invoke(main, ["select", str(path), "--min", ".5", "--output", str(kept)])
    assert result.exit_code == 0, result.output
    assert kept.read_text() == "1.jpg\n2.jpg\n3.jpg\n"
    lines = result.output.splitlines()
    assert lines[-1] == "3 of 4 are kept; 1 have no score"
    table = {line.split()[0]: line.split()[-2:] for line in lines[1:-1]}
    assert table["0.10"] == ["1", "0"] and table["0.50"] == ["2", "2"] and table["0.95"] == ["1", "1"]
    assert sum(int(count) for count, _ in table.values()) == 4


def test_a_name_of_two_lines_is_never_two_names(tmp_path):
    scores, kept = tmp_path / "scores.csv", tmp_path / "kept.txt"
    scores.write_bytes(Csv().header + b"".join(Csv().encode(Row(name, 0.5, 4, 4)) for name in ("a\nb.jpg", "c.jpg")))
    result = CliRunner().invoke(main, ["select", str(scores), "--output", str(kept)])
    assert result.exit_code == 2 and "has a line break in its name; add --null" in result.stderr and not kept.exists()
    result = CliRunner().invoke(main, ["select", str(scores), "--output", str(kept), "--null"])
    assert result.exit_code == 0 and kept.read_bytes() == b"a\nb.jpg\0c.jpg\0"
    result = CliRunner().invoke(main, ["select", str(scores), "--null"])
    assert result.exit_code == 2 and "--null: is of the list of names" in result.stderr


def test_shards_hold_the_tiles_that_are_kept(tmp_path):
    big = tmp_path / "big.png"
    Image.fromarray(procedural_image(5, 200)[0]).save(big)
    (tmp_path / "gone.png").write_bytes(big.read_bytes())
    scores = tmp_path / "scores.parquet"
    score_to_file([big, tmp_path / "gone.png"], scores, tile=64)
    (tmp_path / "gone.png").unlink()
    kept = [row for row in Selection(scores, top_share=0.5).rows() if "big" in row["file"]]
    written, lost = Selection(scores, top_share=0.5).write_shards(tmp_path / "shards")
    assert written == len(kept) == len(lost) == 8
    with tarfile.open(tmp_path / "shards" / "000000.tar") as archive:
        found = {entry.name: archive.extractfile(entry).read() for entry in archive}
    for number, row in enumerate(kept):
        about = json.loads(found[f"{number:09}.json"])
        assert about["file"] == row["file"] and about["score"] == row["score"]
        left, top, width, height = map(int, row["file"].rpartition("=")[2].split(","))
        tile = np.asarray(Image.open(io.BytesIO(found[f"{number:09}.png"])))
        assert np.array_equal(tile, np.asarray(Image.open(big))[top : top + height, left : left + width])
    with pytest.raises(UserError, match="not empty"):
        Selection(scores).write_shards(tmp_path / "shards")


def test_tiles_of_a_picture_that_was_made_smaller_are_lost(tmp_path):
    Image.new("RGB", (300, 300), "white").save(tmp_path / "a.png")
    score_to_file(tmp_path / "a.png", tmp_path / "scores.csv", tile=256, stride=44)
    Image.new("RGB", (256, 256), "white").save(tmp_path / "a.png")
    written, lost = Selection(tmp_path / "scores.csv").write_shards(tmp_path / "shards")
    assert (written, len(lost)) == (1, 3)


def test_a_picture_that_is_called_as_a_tile_is_taken_whole(tmp_path):
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    saved = tmp_path / "a.png#xywh=0,0,8,8"
    Image.new("RGB", (8, 8), "blue").save(saved, "PNG")
    score_to_file(saved, tmp_path / "scores.csv")
    scored_shard(tmp_path / "of_shard", tmp_path / "s.tar", [("a.png#xywh=0,0,8,8", "blue")])
    for number, scores in enumerate((tmp_path / "scores.csv", str(tmp_path / "of_shard"))):
        assert Selection(scores).write_shards(tmp_path / f"shards{number}") == (1, [])
        with tarfile.open(tmp_path / f"shards{number}" / "000000.tar") as archive:
            data = archive.extractfile(archive.next()).read()
        assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == (0, 0, 255)


def scored_shard(folder, shard, entries):
    """A data set of scores of a tar shard as the workers write it; `entries` are pairs of a raw name and a colour."""
    with tarfile.open(shard, "w", errors="surrogateescape") as archive:
        for name, colour in entries:
            data = encoded(colour, "PNG")
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    folder.mkdir()
    (folder / SETTINGS).write_text("{}")
    found = Input(str(shard), version_now(str(shard)))
    rows = [
        {"file": unicode_name(member.file), "score": 0.1 * number, "source": found.file, "version": found.version}
        | {"group": -1, "key": unicode_name(member.key)}
        for number, member in enumerate(corpus_members.members(found), 1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "part-0.parquet")


def test_a_name_that_a_shard_holds_twice_has_two_pictures(tmp_path):
    # Two are no Unicode, and alike once they are made so.
    entries = [("caf\udce8.png", "red"), ("caf\udce9.png", "green"), ("a.png", "white"), ("a.png", "blue")]
    scored_shard(tmp_path / "scores", tmp_path / "s.tar", entries)
    colours = ["red", "green", "white", "blue"]
    for least, first in ((None, 0), (0.15, 1), (0.35, 3)):
        shards = tmp_path / f"shards{least}"
        assert Selection(str(tmp_path / "scores"), least=least).write_shards(shards) == (4 - first, [])
        with tarfile.open(shards / "000000.tar") as archive:
            found = [archive.extractfile(entry).read() for entry in archive if entry.name.endswith(".png")]
        assert found == [encoded(colour, "PNG") for colour in colours[first:]]


def test_a_shard_that_is_another_now_gives_no_picture(tmp_path):
    scored_shard(tmp_path / "scores", tmp_path / "s.tar", [("a.png", "red")])
    os.utime(tmp_path / "s.tar", (1, 1))
    written, lost = Selection(str(tmp_path / "scores")).write_shards(tmp_path / "shards")
    assert (written, lost) == (0, [f"{tmp_path / 's.tar'}/a.png: is another picture now"])
    (tmp_path / "s.tar").unlink()
    _, lost = Selection(str(tmp_path / "scores")).write_shards(tmp_path / "more")
    assert lost == [f"{tmp_path / 's.tar'}/a.png: is not found by its name any more"]


def test_scores_that_are_text_are_numbers(tmp_path):
    pq.write_table(pa.table({"file": ["a.png", "b.png"], "score": ["0.1", "0.9"]}), tmp_path / "scores.parquet")
    Selection(tmp_path / "scores.parquet", least=0.5).write_list(tmp_path / "kept.txt")
    assert (tmp_path / "kept.txt").read_text() == "b.png\n"


def test_a_picture_of_the_web_is_fetched_again_and_where_it_is_gone_ends_nothing(tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    Image.fromarray(procedural_image(5, 40)[0]).save(picture)
    url, scores = "https://example.org/b.jpg", tmp_path / "scores.csv"
    scores.write_bytes(Csv().header + b"".join(Csv().encode(Row(name, 0.5, 40, 40)) for name in (url, str(picture))))

    def gone(url):
        raise UnreadableImage("the server answers 404 Not Found")

    monkeypatch.setattr(corpus_members, "fetch", gone)
    assert Selection(scores).write_shards(tmp_path / "shards") == (1, [f"{url}: the server answers 404 Not Found"])
    monkeypatch.setattr(corpus_members, "fetch", lambda url: picture.read_bytes())
    assert Selection(scores).write_shards(tmp_path / "again") == (2, [])


def test_mistakes_are_told(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for scores, match in (
        ("other.csv", "no columns file and score"),
        ("none.csv", "none.csv"),
        ("scores", "no such file or folder"),
        (".", "Parquet"),
    ):
        with pytest.raises(UserError, match=match):
            Selection(str(tmp_path / scores))
    path = write(tmp_path / "scores.csv", [0.5])
    assert CliRunner().invoke(main, ["select", str(path), "--min", ".6", "--max", ".5"]).exit_code == 2
    for limit in ("--min", "--max", "--top-share"):
        result = CliRunner().invoke(main, ["select", str(path), limit, "nan"])
        assert result.exit_code == 2 and f"'{limit}': nan is no finite number" in result.stderr
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.txt").touch()
    for shards, says in (("s3://bucket/rich", "is a URL"), (full, "is not empty"), (path, "is a file")):
        result = CliRunner().invoke(main, ["select", str(path), "--shards", str(shards)])
        # Before anything is counted.
        assert (result.exit_code, result.stdout) == (2, "") and says in result.stderr
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nothing")
    for output, says in (("pipe", "exists"), ("link", "exists"), ("rich/kept.txt", "lies in --shards")):
        options = ["--output", str(tmp_path / output), "--shards", str(tmp_path / "rich")]
        result = CliRunner().invoke(main, ["select", str(path), *options])
        assert (result.exit_code, result.stdout) == (2, "") and says in result.stderr
    before = path.read_bytes()
    assert CliRunner().invoke(main, ["select", str(path), "--output", f"{tmp_path}/./scores.csv"]).exit_code == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("percent.csv", "file,score\na.jpg,41.5\n", "outside of 0 to 1"),
        ("word.csv", "file,score\na.jpg,0.5\nb.jpg,high\n", "high"),
        ("cut.csv", "file,score\na.jpg,0.5\nb.jpg\n", "columns"),
        ("cut.jsonl", '{"file": "a.jpg", "score": 0.5}\n{"file": "b.jp', "SCORES .*cut.jsonl"),
        ("word.jsonl", '{"file": "a.jpg", "score": "high"}\n', "high"),
        ("cut.parquet", "PAR1 and no more", "cut.parquet"),
    ],
)
def test_a_broken_file_is_told_in_a_line(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    result = CliRunner().invoke(main, ["select", str(tmp_path / name)])
    assert result.exit_code == 2 and re.search(match, result.stderr), result.output
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr


@pytest.mark.parametrize(("name", "form"), [("scores.csv", Csv()), ("scores.jsonl", JsonLines())])
def test_names_that_are_no_unicode_keep_their_bytes(tmp_path, name, form):
    path = tmp_path / name
    path.write_bytes(form.header + form.encode(Row("\udcff.jpg", 0.5, 10, 10)))
    Selection(path).write_list(tmp_path / "kept.txt")
    assert (tmp_path / "kept.txt").read_bytes() == b"\xff.jpg\n"


def test_a_row_without_a_name_is_one_line(tmp_path):
    pq.write_table(pa.table({"file": ["a.png", None], "score": [0.1, 0.2]}), tmp_path / "scores.parquet")
    (tmp_path / "scores.jsonl").write_text('{"file": "a.png", "score": 0.1}\n{"file": null, "score": 0.2}\n')
    for name in ("scores.parquet", "scores.jsonl"):
        result = CliRunner().invoke(main, ["select", str(tmp_path / name), "--output", str(tmp_path / "kept.txt")])
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "file" in result.stderr, result.output
        assert not (tmp_path / "kept.txt").exists()


def test_a_list_is_read_back_whatever_its_names_begin_with(tmp_path):
    names = ["#1.png", " lead.png", "~root.png", "plain.png"]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "scores.csv").write_bytes(Csv().header + b"".join(Csv().encode(Row(n, 0.5, 8, 8)) for n in names))
    Selection(tmp_path / "scores.csv").write_list(tmp_path / "kept.txt")
    source = open_source("list", tmp_path / "kept.txt")
    assert [os.path.normpath(name) for name in source.names] == names
    assert [source.load(number).size for number in range(4)] == [(8, 8)] * 4


@pytest.mark.parametrize(("name", "form"), [("scores.csv", Csv()), ("scores.jsonl", JsonLines())])
def test_any_number_of_errors_may_come_first(tmp_path, name, form):
    path = tmp_path / name
    gone = form.encode(Row("a/name/of/some/length.jpg", error="no such file"))
    path.write_bytes(form.header + 70_000 * gone + form.encode(Row("b.jpg", 0.5, 10, 10)))
    selection = Selection(path)
    assert (selection.failed, selection.kept) == (70_000, 1)
    assert [row["file"] for row in selection.rows()] == ["b.jpg"]


def test_pictures_come_from_the_column_that_was_scored_and_say_what_they_are(tmp_path):
    pictures = {
        "image": [encoded("red", "PNG")] * 3,
        "photo": [encoded("blue", form) for form in ("PNG", "JPEG", "TIFF")],
    }
    table, scores = tmp_path / "t.parquet", tmp_path / "scores"
    pq.write_table(pa.table(pictures), table)
    scores.mkdir()
    (scores / SETTINGS).write_text(json.dumps({"column": "photo"}))
    rows = [
        {"file": f"{table}/{key}", "score": 0.5, "source": str(table), "version": "", "group": 0, "key": f"{key}"}
        for key in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), scores / "part-0.parquet")
    assert Selection(str(scores)).write_shards(tmp_path / "shards") == (3, [])
    with tarfile.open(tmp_path / "shards" / "000000.tar") as archive:
        found = {entry.name: archive.extractfile(entry).read() for entry in archive if not entry.name.endswith(".json")}
    names = ("000000000.png", "000000001.jpg", "000000002.img")
    assert found == dict(zip(names, pictures["photo"], strict=True))


def test_a_store_without_credentials_is_told_in_a_line(no_credentials):
    with pytest.raises(UserError, match="SCORES s3://bucket/scores.csv: Unable to locate credentials"):
        Selection("s3://bucket/scores.csv")
