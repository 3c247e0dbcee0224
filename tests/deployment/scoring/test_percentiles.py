"""Where a score lies among those of a known set of photographs, by the model that gave both."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from clicv2_keras import Scorer, list_models
from clicv2_keras.deployment.scoring.percentiles import FILE, Percentiles
from clicv2_keras.deployment.scoring.run import score_to_file
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.tflite_file import unpack


@pytest.fixture(scope="module")
def percentiles(scorer):
    return Percentiles(scorer.metadata)


def test_a_share_is_counted_and_ties_are_halved(percentiles):
    percentiles = object.__new__(Percentiles)
    percentiles.scores = [0.1, 0.2, 0.2, 0.9]
    assert [percentiles(score) for score in (0.0, 0.1, 0.15, 0.2, 0.5, 0.9, 1.0)] == [0, 12.5, 25, 50, 75, 87.5, 100]


def test_it_is_said_which_photographs_and_their_scores_are_a_distribution(percentiles):
    assert percentiles.photographs.startswith("720 everyday photographs of PASCAL VOC")
    assert len(percentiles.scores) == 720 and percentiles.scores == sorted(percentiles.scores)
    assert 0 <= percentiles.scores[0] < percentiles.scores[360] < percentiles.scores[-1] <= 1
    assert percentiles(percentiles.scores[360]) == pytest.approx(50, abs=0.2)


@pytest.mark.parametrize("name", [model.name for model in list_models()])
def test_every_shipped_file_has_its_own(name):
    folder = trained_presets()[name]
    digests = {unpack(file).metadata["sha256"] for file in folder.glob("*.tflite")}
    assert set(json.loads((folder / FILE).read_text())["scores"]) == digests
    for file in folder.glob("*.tflite"):
        Percentiles(unpack(file).metadata)


def test_another_model_is_refused(scorer):
    with pytest.raises(
        UserError, match="no scores of reference photographs are stored for the model mine abcdefabcdef"
    ):
        Percentiles({"name": "mine", "sha256": "abcdef" * 10})


def test_stored_scores_are_those_of_the_photographs(real_data, scorer, percentiles):
    with open(real_data / "nagle.csv", newline="") as table:
        files = [real_data / row["file"] for row in csv.DictReader(table)]
    for file in files[::180]:
        assert round(scorer.score(file).score, 4) in percentiles.scores


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_column_says_it_in_every_format_and_a_resumed_file_keeps_it(photos, tmp_path, percentiles, ending):
    (photos / "bad.jpg").write_text("text")
    path = tmp_path / f"rows.{ending}"
    score_to_file([photos / "a.jpg", photos / "bad.jpg"], path, percentile=True)
    score_to_file([photos / "a.jpg", photos / "bad.jpg", photos / "b.png"], path, percentile=True, resume=True)
    if ending == "parquet":
        rows = pq.read_table(path).to_pylist()
    elif ending == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        with open(path, newline="") as stream:
            rows = list(csv.DictReader(stream))
    assert [row["percentile"] in ("", None) for row in rows] == [False, True, False]
    for row in (rows[0], rows[2]):
        assert float(row["percentile"]) == percentiles(float(row["score"]))
    with pytest.raises(UserError, match="begun with --percentile"):
        score_to_file([photos / "a.jpg"], path, resume=True)


def test_a_file_of_a_shipped_model_is_that_model(tmp_path, percentiles):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes((trained_presets()["default"] / "dynamic.tflite").read_bytes())
    assert Percentiles(Scorer(copy).metadata).scores == percentiles.scores
