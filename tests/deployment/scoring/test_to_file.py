import csv
import json

import pyarrow.parquet as pq
import pytest

import clicv2_keras
from clicv2_keras.deployment.scoring.output_file import OutputFile
from clicv2_keras.deployment.scoring.rows import Row
from clicv2_keras.deployment.scoring.run import score_to_file
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import Found

ODD = 'a "quoted", name\nof two lines\r.jpg'
ROWS = [
    Row("a.jpg", 0.123456, 640, 480),
    Row(ODD, 0.5, 1, 30000),
    Row("gone.jpg", error="no such file"),
    Row("\udcff.jpg", 1.0, 7, 8, "its map cannot be written: disk full"),
    Row("last.png", 0.0, 3, 4),
]
FILES = [Found(row.file) for row in ROWS]
MODEL = "tiny 0123456789ab"


def write(path, rows=ROWS):
    target = OutputFile(path, MODEL)
    target.start(force=True)
    for row in rows:
        target.write(row)
    return target


def finish(path):
    """What a run with --resume does."""
    target, files = OutputFile(path, MODEL), iter(FILES)
    kept = list(target.resume(files))
    for found in files:
        target.write(ROWS[FILES.index(found)])
    target.finish()
    return kept


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_resume_makes_the_file_whole_wherever_it_was_cut(tmp_path, name):
    path = tmp_path / name
    write(path).finish()
    whole = path.read_bytes()
    kept = set()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        rows = finish(path)
        assert path.read_bytes() == whole
        assert rows == ROWS[: len(rows)]
        kept.add(len(rows))
    assert kept == set(range(len(ROWS) + 1))


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_what_comes_to_be_there_meanwhile_is_kept(tmp_path, name):
    path = tmp_path / name
    target = OutputFile(path, MODEL)
    target.start()
    if name == "rows.parquet":
        target.write(ROWS[0])
    path.write_text("somebody's own")
    with pytest.raises(UserError, match="has come to be there meanwhile, and is kept"):
        target.write(ROWS[0])
        target.finish()
    target.close()
    assert path.read_text() == "somebody's own"


def test_a_file_that_is_called_as_embeddings_are_is_kept(tmp_path):
    notes = tmp_path / "rows.csv.embeddings"
    notes.write_text("my notes")
    with pytest.raises(UserError, match="rows.csv.embeddings exists"):
        OutputFile(tmp_path / "rows.csv", MODEL).start()
    assert notes.read_text() == "my notes"


def test_resume_of_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    cut = write(path, ROWS[:3])
    cut.close()
    assert not path.exists()
    with open(tmp_path / "rows.parquet.partial", "ab") as stream:
        stream.write(b'{"file": "half a r')
    assert finish(path) == ROWS[:3]
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.parquet"]
    rows = pq.read_table(path).to_pylist()
    assert rows[:3] == [row._asdict() for row in ROWS[:3]]
    assert rows[3]["file"] == "\N{REPLACEMENT CHARACTER}.jpg"


def test_a_whole_parquet_file_is_gone_on_with(tmp_path):
    path = tmp_path / "rows.parquet"
    write(path, ROWS[:2]).finish()
    assert finish(path) == ROWS[:2]
    assert pq.read_table(path).num_rows == len(ROWS)


def test_resume_starts_where_there_is_nothing(tmp_path):
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        assert finish(tmp_path / name) == []


def test_resume_of_another_run_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    write(path).finish()
    whole = path.read_bytes()
    for files, message in (([Found("b.jpg")], "image 1 .* a.jpg, but now it is b.jpg"), (FILES[:2], "there is none")):
        with pytest.raises(UserError, match=message):
            list(OutputFile(path, MODEL).resume(iter(files)))
        assert path.read_bytes() == whole
    for name, content in {
        "other.csv": b"name,value\n1,2\n",
        "wide.csv": b"file,score,width,height,error,model\na,1,2,3,4,5,6\n",
        "other.jsonl": b'{"name": 3}\n',
        "text.jsonl": b"text\n",
        "other.parquet": b"text",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="no output of clicv2-keras score"):
            list(OutputFile(tmp_path / name, MODEL).resume(iter(FILES)))
        assert (tmp_path / name).read_bytes() == content


def test_the_three_formats_say_the_same(photos, tmp_path):
    (photos / "broken.jpg").write_text("text")
    expected = list(clicv2_keras.score(photos))
    assert len(expected) == 6
    for ending in ("csv", "jsonl", "parquet"):
        counts = score_to_file(photos, tmp_path / f"rows.{ending}")
        assert (counts.scored, counts.failed) == (5, 1)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    (model,) = {row.pop("model") for row in rows}
    assert [Row(**row) for row in rows] == expected
    assert pq.read_schema(tmp_path / "rows.parquet").metadata[b"clicv2_keras.model"].decode() == model
    assert [Row(**row) for row in pq.read_table(tmp_path / "rows.parquet").to_pylist()] == expected
    with open(tmp_path / "rows.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert list(table[0]) == ["file", "score", "width", "height", "error", "model"]
    assert {row["model"] for row in table} == {model} and len(model.split()[1]) == 12
    assert [float(row["score"]) if row["score"] else None for row in table] == [row.score for row in expected]
    assert table[2]["error"] == "not an image that Pillow can read"


def test_resume_scores_only_what_is_missing_and_counts_all(photos, tmp_path):
    path = tmp_path / "rows.csv"
    (photos / "broken.jpg").write_text("text")
    score_to_file(photos, path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    # A score that no model gives shows that the row was kept.
    marked = lines[1].split(b",")[0] + b",0.424242,60,40,," + lines[1].split(b",")[-1]
    path.write_bytes(b"".join([lines[0], marked, *lines[2:4], lines[4][:9]]))
    reported = []
    counts = score_to_file(photos, path, resume=True, report=reported.append)
    assert (counts.scored, counts.failed) == (5, 1)
    assert len(reported) == 6
    assert path.read_bytes() == b"".join([lines[0], marked, *lines[2:]])


def test_what_is_wrong_with_the_output_is_one_line(photos, tmp_path, monkeypatch):
    for output, message in {
        tmp_path / "rows.txt": "must end in .csv, .jsonl or .parquet",
        tmp_path / "none" / "rows.csv": "there is no folder",
        "s3://bucket/rows.csv": "is a URL",
        photos / "a.jpg" / "rows.jsonl": "there is no folder",
    }.items():
        with pytest.raises(UserError, match=message):
            score_to_file(photos, output)
    with pytest.raises(UserError, match="must end in .csv"):
        score_to_file(photos, ".", embeddings=True)
    with pytest.raises(UserError, match="give one of them"):
        score_to_file(photos, tmp_path / "rows.csv", resume=True, force=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[parquet\]' in a clone"):
        score_to_file(photos, tmp_path / "rows.parquet")


def test_a_broken_model_leaves_the_output_alone(photos, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("mine")
    with pytest.raises(UserError, match="no such file"):
        score_to_file(photos, path, model="none.tflite")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_is_there_is_replaced_only_when_asked_and_ours(photos, tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    score_to_file(photos, path)
    whole = path.read_bytes()
    with pytest.raises(UserError, match="exists; --resume goes on with it, --force begins anew"):
        score_to_file(photos / "a.jpg", path)
    assert path.read_bytes() == whole
    score_to_file(photos / "a.jpg", path, force=True)
    assert len(path.read_bytes()) < len(whole)
    path.write_text("file,label\nmine,1\n")
    with pytest.raises(UserError, match="is no output of clicv2-keras score, and is kept"):
        score_to_file(photos, path, force=True)
    assert path.read_text() == "file,label\nmine,1\n"


@pytest.mark.parametrize("options", [{"resume": True}, {"force": True}])
@pytest.mark.parametrize(
    "text", ['{"file": "a.jpg", "caption": "mine"}', '{"file": "a.jpg", "caption": "mine"}\n', "[[["]
)
def test_json_lines_of_others_are_kept(photos, tmp_path, text, options):
    path = tmp_path / "labels.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match="is no output of clicv2-keras score"):
        score_to_file(photos, path, **options)
    assert path.read_text() == text


def test_a_csv_field_beyond_all_bounds_is_told(photos, tmp_path):
    path = tmp_path / "rows.csv"
    score_to_file(photos, path)
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n" + b"a" * 200_000 + b"\n")
    with pytest.raises(UserError, match="is no output of clicv2-keras score"):
        score_to_file(photos, path, resume=True)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_list_of_nothing_opens_nothing(photos, tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    score_to_file(photos, path)
    whole = path.read_bytes()
    for options in ({"force": True}, {"resume": True}):
        with pytest.raises(UserError, match="no image is named"):
            score_to_file([], path, **options)
        assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir() if entry != photos] == [path.name]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_rows_of_two_models_do_not_mix(photos, tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    score_to_file(photos, path)
    whole = path.read_bytes()
    with pytest.raises(UserError, match="its rows are of the model guided_hybrid.*, not of clicv2_vit_tiny"):
        score_to_file(photos, path, model="clicv2_vit_tiny_d4_patch16_128", resume=True)
    assert path.read_bytes() == whole


def test_rows_of_0_1_name_no_model(photos, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"file,score,width,height,error\na.jpg,0.1,2,3,\n")
    with pytest.raises(UserError, match="its rows do not name their model"):
        score_to_file(photos, path, resume=True)


def test_a_parquet_file_with_a_name_that_is_not_unicode_is_gone_on_with(tmp_path):
    path = tmp_path / "rows.parquet"
    write(path).finish()
    assert len(finish(path)) == len(ROWS)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_a_second_run_of_a_file_is_refused_while_the_first_is_at_work(tmp_path, name):
    path = tmp_path / name
    first = write(path, ROWS[:2])
    (rows,) = tmp_path.iterdir()
    before = rows.read_bytes()
    resumed, anew = OutputFile(path, MODEL), OutputFile(path, MODEL)
    with pytest.raises(UserError, match="another process is at work there"):
        list(resumed.resume(iter(FILES)))
    anew.start(force=True)
    with pytest.raises(UserError, match="another process is at work there"):
        anew.write(ROWS[0])
    assert rows.read_bytes() == before
    for output in (resumed, anew):
        output.close()
    first.write(ROWS[2])
    first.close()
    assert finish(path) == ROWS[:3]
