"""A model is not judged on what it was fitted to."""

import csv
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from clicv2_keras.cli.main import main
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.evaluation.agreement import FEWEST, Judge
from clicv2_keras.evaluation.predictors import MODEL, NO_MODEL, UNTRAINED, Prediction
from clicv2_keras.evaluation.report.names import label
from clicv2_keras.evaluation.run import evaluate
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.utils.fingerprints import Fingerprints, fingerprint

OWN, RIDGE = "fitted score", "ridge on tokens, their deviation and diversity"


@pytest.fixture(scope="module")
def table(ic9600, tmp_path_factory):
    """24 labelled images of two categories without a split: every other one as a half-size PNG of what it was."""
    data = open_scored("ic9600", ic9600)
    folder = tmp_path_factory.mktemp("again")
    rows = []
    for i in np.flatnonzero(data.categories != "person")[:24]:
        image = data.source.load(i)
        if i % 2:
            image = image.resize((24, 24), Image.Resampling.BICUBIC)
        image.save(folder / f"{i}.png")
        rows.append([f"{i}.png", data.scores[i], data.categories[i]])
    with open(folder / "scores.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file", "score", "category"], *rows])
    return folder / "scores.csv"


@pytest.fixture
def make_scorer(tiny_encoder, table, ic9600, rng):
    """A scorer fitted to the first `count` of the table's images, as they were before they were changed."""
    data = open_scored("ic9600", ic9600)
    chosen = np.flatnonzero(data.categories != "person")[:24]

    def make(count, whole=False):
        encoder = tiny_encoder.copy()
        scorer = ComplexityScorer(encoder, LinearHead())
        scorer.head.kernel.assign(rng.normal(0, 0.3, scorer.head.kernel.shape))
        seen = Fingerprints([fingerprint(data.source.load(i)) for i in chosen[:count]])
        scorer.head.fitted_to = seen
        if whole:
            encoder.fitted_to = seen
        return scorer

    return make


def judge(scorer, table, **options):
    return evaluate(scorer, "csv", table, resamples=20, progress=False, **options)


def shown(evaluation):
    console = Console(width=200, record=True, quiet=True)
    console.quiet = False
    with console.capture() as capture:
        evaluation.show(console)
    return " ".join(capture.get().split())


def test_an_encoder_that_saw_labels_says_so_of_any_images(make_scorer, table, ic9600, tmp_path):
    scorer = make_scorer(0)
    scorer.encoder.fitted_to = Fingerprints(np.full((1, 194), 7, "uint8"))
    for model in (scorer, scorer.encoder):
        text = shown(judge(model, table, baselines=False))
        assert "human labels trained the encoder: nothing that this model says is free of labels" in text


def agreement(agreements, predictor, group=MODEL):
    return next(a for a in agreements if (a.predictor, a.group) == (predictor, group))


def test_the_others_are_judged_and_compared_on_these_alone(make_scorer, table, tmp_path):
    evaluation = judge(make_scorer(10), table, baselines=False)
    data, own = evaluation.data, evaluation.main
    assert own.predictor == "fitted" and own.left_out == 10 and label(own) == f"{OWN} (14 of 24 images)"
    unseen = np.arange(24) >= 10
    np.testing.assert_array_equal(own.images, unseen)
    values = evaluation.predictions[evaluation.main_index].values
    assert np.isnan(values[:10]).all()
    assert own.rows["overall"]["SRCC"].value == pytest.approx(srcc(values[10:], data.scores[10:]))
    assert own.counts["overall"] == 14 and own.counts["objects"] + own.counts["abstract"] == 14

    # The other rows stay on all images; the comparison takes both sides on the same ones.
    mean = next(p for p in evaluation.predictions if p.predictor == "category_mean").values
    assert agreement(evaluation.agreements, "category_mean", NO_MODEL).srcc == srcc(mean, data.scores)
    ((other, difference),) = evaluation.differences
    assert other.predictor == "category_mean"
    expected = srcc(values[10:], data.scores[10:]) - srcc(mean[10:], data.scores[10:])
    assert difference.value == pytest.approx(expected)
    assert agreement(evaluation.agreements, "ridge").left_out == 0  # its encoder saw no label

    text = shown(evaluation)
    assert (
        "the model was fitted to 10 of the 24 images: its fitted score is judged on the other 14, and compared" in text
    )
    evaluation.save(tmp_path)
    with open(tmp_path / "predictions.csv", newline="") as file:
        cells = [row["model/fitted"] for row in csv.DictReader(file)]
    assert cells[:10] == [""] * 10 and all(map(float, cells[10:]))
    with open(tmp_path / "table.csv", newline="") as file:
        counts = {(row["predictor"], row["part"]): row["images"] for row in csv.DictReader(file)}
    assert counts["fitted", "overall"] == "14" and counts["ridge", "overall"] == "24"
    html = (tmp_path / "report.html").read_text()
    assert "on the 14 of 24 images that the model was not fitted to" in html and "14 of 24 images)" in html
    assert not any(f'alt="{name}"' in html for name in data.names[:10])


def test_within_categories_those_that_are_left_are_judged(make_scorer, table):
    evaluation = judge(make_scorer(15), table, baselines=False, within_category=True)
    counts = evaluation.main.counts
    few = [c for c in ("abstract", "objects") if np.sum(evaluation.data.categories[15:] == c) < FEWEST]
    assert few and set(counts) == {"abstract", "objects", "mean of categories"} - set(few)


def test_fitted_to_all_of_them_it_has_no_score_and_the_rest_stays(make_scorer, table, tmp_path):
    make_scorer(24).save(tmp_path / "scorer.keras")
    command = ["evaluate", tmp_path / "scorer.keras", "--dataset", "csv", "--root", table, "--resamples", "20"]
    result = CliRunner().invoke(main, list(map(str, [*command, "--no-baselines", "--output", tmp_path / "out"])))
    assert result.exit_code == 0, result.output
    cells = " ".join(line.split("│")[1].strip() for line in result.stdout.splitlines() if "│" in line)
    assert f"{OWN}: fitted to these 24 images" in cells
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    own = [row for row in rows if row["predictor"] == "fitted"]
    assert {(row["value"], row["images"]) for row in own} == {("nan", "0")}
    assert any(row["predictor"] == "ridge" and row["value"] != "nan" and row["images"] == "24" for row in rows)
    html = (tmp_path / "out" / "report.html").read_text()
    assert "fitted to these 24 images" in html and re.search(f"<q>{RIDGE}</q>\\s+reaches an SRCC", html)


def test_where_labels_trained_the_encoder_its_probes_have_none_either(make_scorer, table, tmp_path):
    evaluation = judge(make_scorer(24, whole=True), table, untrained_seeds=1)
    assert evaluation.main is None and evaluation.differences == []
    mine = [a for a in evaluation.agreements if a.group == MODEL]
    assert len(mine) == 5 and all(a.left_out == 24 and np.isnan(a.headline["SRCC"].value) for a in mine)
    for group in (UNTRAINED, NO_MODEL):
        rest = [a for a in evaluation.agreements if a.group == group]
        assert rest and all(a.left_out == 0 and a.counts["overall"] == 24 for a in rest)
    text = shown(evaluation)
    assert f"{RIDGE}: fitted to these 24 images" in text and "human labels trained the encoder" in text
    evaluation.save(tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "The model was fitted to all 24 images" in html and "Without any label" not in html

    half = judge(make_scorer(10, whole=True), table, baselines=False)
    assert all(a.left_out == 10 and a.images.sum() == 14 for a in half.agreements if a.group == MODEL)
    # The encoder by itself too.
    encoder = judge(half.model.encoder, table, baselines=False)
    assert encoder.main.predictor == "ridge" and encoder.main.left_out == 10


def test_a_model_that_does_not_say_is_told(make_scorer, table):
    scorer = make_scorer(0)
    line = "this model does not say what it was fitted to"
    assert not any(line in note for note in judge(scorer, table, baselines=False).notes)
    scorer.head.fitted_to = None
    evaluation = judge(scorer, table, baselines=False)
    assert sum(line in note for note in evaluation.notes) == 1 and evaluation.main.left_out == 0


def test_too_few_left_say_nothing(rng):
    known, categories = rng.random(20), np.array(["a", "b"] * 10)
    left_out = np.arange(20) < 18
    found = Judge(known, categories, True, 10).agreement(Prediction("fitted", MODEL, known, True, left_out))
    assert np.isnan(found.srcc) and label(found) == f"{OWN}: fitted to 18 of these 20 images, too few are left"
