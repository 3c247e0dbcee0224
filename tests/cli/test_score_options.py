"""What `score` takes and gives besides files and a table."""

import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from clicv2_keras.cli.main import main
from clicv2_keras.deployment.scoring.percentiles import Percentiles


def call(*arguments, **more):
    return CliRunner().invoke(main, ["score", *map(str, arguments)], **more)


@pytest.fixture
def at_photos(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    return photos


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(at_photos):
    handler = functools.partial(QuietHandler, directory=at_photos)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def files_of(csv):
    return [line.split(",")[0] for line in csv.splitlines()[1:]]


def test_a_url_is_scored_as_its_file_is_and_only_when_inner_networks_may_be_asked(site):
    expected = call("photos/a.jpg").stdout.splitlines()[1].partition(",")[2]
    result = call(f"{site}/a.jpg", f"{site}/none.jpg", "--allow-private-urls")
    rows = result.stdout.splitlines()[1:]
    assert result.exit_code == 1
    # The glob's signs in an address are no glob.
    assert call(f"{site}/a.jpg?size=[1]*", "--allow-private-urls").exit_code == 0
    assert rows == [f"{site}/a.jpg,{expected}", f"{site}/none.jpg,,,,the server answers 404 File not found"]
    result = call(f"{site}/a.jpg")
    assert result.exit_code == 1 and "no address of the public internet" in result.stdout


def test_an_overlay_of_a_url_lies_in_the_folder(site):
    assert call(f"{site}/a.jpg", "--allow-private-urls", "--maps", "maps").exit_code == 0
    (overlay,) = (path for path in Path("maps").rglob("*") if path.is_file())
    assert overlay.name == "a.jpg.png"


def test_names_that_end_in_null_may_hold_line_breaks(at_photos):
    odd = at_photos / "two\nlines.jpg"
    odd.write_bytes((at_photos / "a.jpg").read_bytes())
    listed = f"photos/a.jpg\0{odd}\0\0photos/more".encode()
    result = call("-", "--null", "--format", "jsonl", input=listed)
    assert result.exit_code == 0
    files = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert files == ["photos/a.jpg", str(odd), "photos/more/c.webp", "photos/more/d.gif", "photos/more/e.bmp"]
    # A list of lines would be one name without an end.
    result = call("-", "--null", input=b"photos/a.jpg\n" * 200_000)
    assert result.exit_code == 2 and "no null bytes between its names" in result.stderr


def test_json_lines_and_csv_say_the_same(at_photos):
    rows = [json.loads(line) for line in call("photos", "--format", "jsonl", "--percentile").stdout.splitlines()]
    lines = call("photos", "--format", "csv", "--percentile").stdout.splitlines()
    assert lines[0] == "file,score,width,height,error,percentile"
    assert [f"{r['file']},{r['score']},{r['width']},{r['height']},,{r['percentile']}" for r in rows] == lines[1:]


def test_the_percentile_is_that_of_the_score(at_photos, scorer):
    (row,) = (
        json.loads(line) for line in call("photos/a.jpg", "--format", "jsonl", "--percentile").stdout.splitlines()
    )
    assert row["percentile"] == Percentiles(scorer.metadata)(row["score"])


def test_embeddings_lie_beside_the_rows(at_photos):
    result = call("photos", "--output", "rows.csv", "--embeddings", "--percentile")
    assert result.exit_code == 0
    with np.load("rows.npz", allow_pickle=False) as archive:
        assert len(archive["embedding"]) == 5 == len(files_of(Path("rows.csv").read_text()))


def test_mistakes_are_one_line_and_write_nothing(at_photos):
    for arguments, said in (
        (["--embeddings"], "--embeddings: needs an --output"),
        (["-", "--null", "--maps", "photos"], "--maps photos: its maps would lie among the images"),
        (["--format", "jsonl", "--output", "rows.csv"], "--format: is of standard output"),
        (["--null"], "--null: is of a list on standard input"),
    ):
        result = call("photos", *arguments)
        assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1
        assert result.stdout == "" and not Path("rows.csv").exists()


@pytest.fixture(scope="module")
def scorer():
    from clicv2_keras import Scorer

    return Scorer()
