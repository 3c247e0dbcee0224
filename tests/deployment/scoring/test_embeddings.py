"""What the model sees, beside the rows: the same line is the same image, wherever a run was stopped."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from clicv2_keras.deployment.scoring.embeddings_file import EmbeddingsFile
from clicv2_keras.deployment.scoring.output_file import OutputFile
from clicv2_keras.deployment.scoring.rows import Row
from clicv2_keras.deployment.scoring.run import score_to_file
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import Found

ROWS = [Row("a.jpg", 0.1, 64, 48), Row("gone.jpg", error="no such file"), Row("c.png", 0.3, 7, 8)]
VECTORS = [np.array([1.5, -2.0, 0.25], "float32"), None, np.array([4, 5, 6], "float32")]
AS_TABLE = np.array([[1.5, -2.0, 0.25], [np.nan] * 3, [4, 5, 6]], "float32")


def target(path, width=3):
    return OutputFile(path, "tiny 01", embeddings=EmbeddingsFile(path, width))


def write(path, count):
    output = target(path)
    output.start()
    for row, vector in zip(ROWS[:count], VECTORS, strict=False):
        output.write(row, vector)
    return output


def go_on(path):
    output, files = target(path), iter([Found(row.file) for row in ROWS])
    kept = len(list(output.resume(files)))
    for found in files:
        number = [row.file for row in ROWS].index(found.file)
        output.write(ROWS[number], VECTORS[number])
    output.finish()
    output.close()
    return kept


def stored(path):
    if path.suffix == ".parquet":
        column = pq.read_table(path).column("embedding").to_pylist()
        return np.array([[np.nan] * 3 if vector is None else vector for vector in column], "float32")
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
        return archive["embedding"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_it_is_whole_wherever_it_was_stopped(tmp_path, name, count):
    write(tmp_path / name, count).close()
    # The vector is written before its row: one more of them may be there, once the rows have begun.
    if count:
        with open(tmp_path / f"{name}.embeddings", "ab") as stream:
            stream.write(b"\0" * 7)
    assert go_on(tmp_path / name) == count
    np.testing.assert_array_equal(stored(tmp_path / name), AS_TABLE)
    assert not list(tmp_path.glob("*.embeddings")) and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_whole_file_is_gone_on_with(tmp_path, name):
    for count in (2, 3):
        path = tmp_path / f"{count}_{name}"
        write(path, count).finish()
        assert go_on(path) == count
        np.testing.assert_array_equal(stored(path), AS_TABLE)
    assert len(list(tmp_path.iterdir())) == (2 if name.endswith("parquet") else 4)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_stopped_run_is_not_gone_on_with_without_them(tmp_path, name):
    path = tmp_path / name
    write(path, 2).close()
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    plain = OutputFile(path, "tiny 01")
    with pytest.raises(UserError, match="was begun with --embeddings"):
        list(plain.resume(iter([Found(row.file) for row in ROWS])))
    plain.close()
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    plain.start(force=True)
    plain.write(ROWS[0])
    plain.close()
    assert not list(tmp_path.glob("*.embeddings"))


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_other_options_than_it_was_begun_with_are_refused_and_change_nothing(tmp_path, name):
    path = tmp_path / name
    plain = OutputFile(path, "tiny 01")
    plain.start()
    plain.write(ROWS[0])
    plain.finish()
    before = path.read_bytes()
    with pytest.raises(UserError, match="without"):
        go_on(path)
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="exists"):
        target(path).start()


def test_the_network_s_own_vectors_are_written(photos, tmp_path, scorer):
    (photos / "bad.jpg").write_text("text")
    files = sorted(photos.glob("*.*"))
    counts = score_to_file(files, tmp_path / "rows.csv", embeddings=True)
    assert (counts.scored, counts.failed) == (2, 1)
    found = stored(tmp_path / "rows.csv")
    assert found.shape == (3, scorer.embedding_dim) and found.dtype == np.float32
    for vector, file in zip(found, files, strict=True):
        if file.name == "bad.jpg":
            assert np.isnan(vector).all()
        else:
            np.testing.assert_allclose(vector, scorer.score(file).embedding, atol=1e-6)


def test_those_of_rows_that_are_gone_are_taken_for_no_others(photos, tmp_path):
    path = tmp_path / "rows.csv"
    score_to_file(photos / "a.jpg", path, embeddings=True)
    with pytest.raises(UserError, match="was begun with --embeddings"):
        score_to_file([photos / "a.jpg", photos / "b.png"], path, resume=True)
    with pytest.raises(UserError, match="no image is named"):
        score_to_file([], path, force=True)
    assert len(stored(path)) == 1
    score_to_file(photos / "b.png", path, force=True)
    assert [each.name for each in tmp_path.iterdir() if each != photos] == ["rows.csv"]
    with pytest.raises(UserError, match="was begun without --embeddings"):
        score_to_file(photos / "b.png", path, resume=True, embeddings=True)


def test_those_whose_rows_are_gone_are_replaced_only_when_asked(tmp_path):
    path = tmp_path / "rows.csv"
    write(path, 3).finish()
    path.unlink()
    before = path.with_suffix(".npz").read_bytes()
    with pytest.raises(UserError, match="rows.npz exists"):
        OutputFile(path, "tiny 01").start()
    with pytest.raises(UserError, match="rows.npz exists"):
        go_on(path)
    assert path.with_suffix(".npz").read_bytes() == before
    output = target(path)
    output.start(force=True)
    output.write(ROWS[0], VECTORS[0])
    output.finish()
    np.testing.assert_array_equal(stored(path), AS_TABLE[:1])


def test_those_of_an_output_of_another_ending_are_its_own(photos, tmp_path):
    lines = tmp_path / "rows.jsonl"
    score_to_file(photos / "a.jpg", lines)
    score_to_file(photos, tmp_path / "rows.csv", embeddings=True)
    before = (tmp_path / "rows.npz").read_bytes()
    score_to_file(photos / "a.jpg", lines, force=True)
    score_to_file(photos / "a.jpg", lines, resume=True)
    for options in ({"resume": True}, {"force": True}):
        with pytest.raises(UserError, match=r"rows.npz: is none of clicv2-keras score for rows\.jsonl, and is kept"):
            score_to_file(photos / "a.jpg", lines, embeddings=True, **options)
    assert (tmp_path / "rows.npz").read_bytes() == before
    score_to_file(photos, tmp_path / "rows.csv", embeddings=True, resume=True)
    assert (tmp_path / "rows.npz").read_bytes() == before


@pytest.mark.parametrize(
    "mine",
    [
        {"embedding": np.zeros((2, 3))},
        {"embedding": np.zeros((2, 3), "f4")},
        {"embedding": np.zeros(3, "f4")},
        {"a": 1},
        {"embedding": AS_TABLE, "a": 1},
        b"x",
    ],
)
def test_somebody_s_archive_is_kept(photos, tmp_path, mine):
    archive, path = tmp_path / "mine.npz", tmp_path / "mine.csv"
    archive.write_bytes(mine) if isinstance(mine, bytes) else np.savez(archive, **mine)
    before = archive.read_bytes()
    for options in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(UserError, match="mine.npz: is none of clicv2-keras score for .*, and is kept"):
            score_to_file(photos / "a.jpg", path, embeddings=True, **options)
    assert not path.exists()
    for options in ({}, {"resume": True}, {"force": True}):
        score_to_file(photos / "a.jpg", path, **options)
    assert archive.read_bytes() == before
