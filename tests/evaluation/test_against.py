"""Two judged on the same images: a model against another, against a measure, against the scores of any tool."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from clicv2_keras.cli.main import main
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.deployment.exporting.run import export
from clicv2_keras.evaluation.judged_model import judged_model
from clicv2_keras.evaluation.other import match_scores, read_scores
from clicv2_keras.evaluation.report.report import report_html
from clicv2_keras.evaluation.run import evaluate
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints, fingerprint
from clicv2_keras.utils.tflite_file import unpack


@pytest.fixture(scope="module")
def test_part(ic9600):
    data = open_scored("ic9600", ic9600)
    return data.subset(data.splits == "test")


@pytest.fixture(scope="module")
def make_scorer(tiny_encoder, test_part):
    """A scorer fitted to the test images of these numbers."""

    def make(seed, fitted_to=()):
        scorer = ComplexityScorer(tiny_encoder.copy(), LinearHead())
        scorer.head.kernel.assign(np.random.default_rng(seed).normal(0, 0.3, scorer.head.kernel.shape))
        scorer.head.fitted_to = Fingerprints([fingerprint(test_part.source.load(i)) for i in fitted_to])
        scorer.encoder.fitted_to = Fingerprints()
        return scorer

    return make


@pytest.fixture(scope="module")
def tflite(make_scorer, tmp_path_factory):
    """A `.keras` file fitted to four of the test images, and the `.tflite` file made from it."""
    folder = tmp_path_factory.mktemp("models")
    scorer = make_scorer(0, range(4))
    scorer.save(folder / "tiny.keras")
    return folder / "tiny.keras", export(scorer, output=folder / "tiny.tflite").path


def judge(model, root, **options):
    options = {"resamples": 50, "baselines": False, "progress": False} | options
    return evaluate(model, "ic9600", root, **options)


def values(evaluation):
    return evaluation.predictions[evaluation.main_index].values


def test_two_models_on_the_images_that_neither_was_fitted_to(make_scorer, ic9600):
    first, second = make_scorer(0, range(4)), make_scorer(1, range(2, 9))
    found = judge(first, ic9600, against=second)
    mine, other = found.against
    unseen = np.arange(24) >= 9
    np.testing.assert_array_equal(mine.images, unseen)
    np.testing.assert_array_equal(other.images, unseen)
    known = found.data.scores[unseen]
    of_second = values(judge(second, ic9600))
    expected = srcc(values(found)[unseen], known), srcc(of_second[unseen], known)
    assert (mine.srcc, other.srcc) == pytest.approx(expected)
    difference = found.against.difference
    assert difference.value == pytest.approx(expected[0] - expected[1])
    assert difference.low <= difference.value <= difference.high
    # Paired: against itself nothing differs, in any resample.
    assert judge(first, ic9600, against=first).against.difference == (0, 0, 0)


def test_fitted_to_all_between_them_nothing_is_told(make_scorer, ic9600, tmp_path):
    found = judge(make_scorer(0, range(12)), ic9600, against=make_scorer(1, range(12, 24)))
    assert np.isnan(found.against.difference.value)
    assert sum("too few images are left that neither" in note for note in found.notes) == 1
    found.save(tmp_path)
    assert "Against <q>" not in (tmp_path / "report.html").read_text()


def test_one_that_was_fitted_to_all_is_asked_for_its_ridge(make_scorer, ic9600):
    found = judge(make_scorer(0), ic9600, against=make_scorer(1, range(24)))
    assert found.against.other.predictor.startswith("ridge on tokens") and found.against.mine.images.all()
    assert found.against.other.srcc == pytest.approx(found.figures["model/ridge/srcc"])  # of the same encoder


def test_a_measure_is_the_row_of_the_table(make_scorer, ic9600):
    whole = judge(make_scorer(0), ic9600, baselines=True, untrained_seeds=1)
    found = judge(make_scorer(0), ic9600, against="jpeg_q75")
    edges = next(a for a in whole.agreements if a.predictor == "jpeg_q75")
    assert found.against.other.srcc == edges.srcc
    assert {a.predictor for a in found.agreements if a.group == "no_model"} == {"jpeg_q75", "category_mean"}
    by_name = {a.predictor: figure for a, figure in whole.differences}
    assert found.against.difference == by_name["jpeg_q75"]


def test_scores_of_any_tool_and_its_gaps(make_scorer, test_part, ic9600, tmp_path, rng):
    theirs = rng.random(24)
    with open(tmp_path / "other.csv", "w", newline="") as file:
        rows = [
            [f"/some/where/images/{name}", f"{score:.6f}", ""]
            for name, score in zip(test_part.names, theirs, strict=True)
        ]
        rows[5][1:] = ["", "it is broken"]  # as `clicv2-keras score` tells of an image that cannot be read
        csv.writer(file).writerows([["file", "score", "error"], *rows])
    make_scorer(0, range(4)).save(tmp_path / "mine.keras")
    command = ["evaluate", tmp_path / "mine.keras", "--dataset", "ic9600", "--root", ic9600, "--resamples", "50"]
    command += ["--no-baselines", "--against", tmp_path / "other.csv", "--output", tmp_path / "out"]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    assert f"has no score of 1 images: {test_part.names[5]}" in result.output.replace("\n", "")
    judged = np.setdiff1d(np.arange(4, 24), [5])
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == "against" and row["metric"] == "SRCC"]
    overall = {row["predictor"]: row for row in rows if row["part"] == "overall"}
    assert len(overall) == 3 and {row["images"] for row in overall.values()} == {"19"}
    other = float(overall[f"scores of {tmp_path / 'other.csv'}"]["value"])
    assert other == pytest.approx(srcc(theirs[judged], test_part.scores[judged]), abs=1e-5)
    difference = float(overall["fitted"]["value"]) - other
    assert float(overall["difference"]["value"]) == pytest.approx(difference, abs=1e-5)
    html = (tmp_path / "out" / "report.html").read_text()
    assert "on the 19 images that both are judged on" in html and "--against" in html


def test_names_match_by_their_ends():
    names = ["a/1.jpg", "b/1.jpg", "2.png"]
    assert match_scores({"/x/a/1.jpg": 1, "b/1.png": 2, "2": 3}, names, "t.csv") == dict(
        zip(names, (1, 2, 3), strict=True)
    )
    # Archives of macOS take letters and their accents apart.
    apart, whole = "cafe\u0301.jpg", "caf\u00e9.jpg"
    assert match_scores({apart: 1, "1.jpg": 2}, [whole, "1.jpg"], "t.csv") == {whole: 1, "1.jpg": 2}
    assert match_scores({f"/x/{apart}": 1}, ["caf\u00e9.png"], "t.csv") == {"caf\u00e9.png": 1}
    with pytest.raises(UserError, match=r"t.csv: a/2.png and b/2.png may both be 2.png"):
        match_scores({"a/2.png": 1, "b/2.png": 2}, names, "t.csv")


def test_a_row_scores_one_image():
    assert match_scores({"0.jpg": 1, "1.jpg": 2}, ["Scenes/0.jpg", "Scenes/1.jpg", "Objects/0"], "t.csv") == {
        "Scenes/0.jpg": 1,
        "Scenes/1.jpg": 2,
    }
    assert match_scores({"5.png": 1}, ["5.jpg", "5.png"], "t.csv") == {"5.png": 1}
    assert match_scores({"a/0.jpg": 2, "./0.jpg": 1}, ["0.jpg", "a/0.jpg"], "t.csv") == {"0.jpg": 1, "a/0.jpg": 2}
    for names in (["Scenes/0.jpg", "Objects/0.jpg"], ["Scenes/0", "Objects/0"]):
        with pytest.raises(UserError, match=f"t.csv: 0.jpg may be {names[0]} or {names[1]}; name files as"):
            match_scores({"0.jpg": 1}, names, "t.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,score\na,1\n", "needs the columns file and score; it has name, score"),
        ("", "it has none"),
        ("file,score\na,1\na,2\n", "line 3: a has a score already"),
        ("file,score\na,1\n,0.53\n", "t.csv, line 3: '' names no image"),
        ("score,file\n0.53\n", "t.csv, line 2: '' names no image"),
        ("file,score\n.,1\n", "t.csv, line 2: '.' names no image"),
        (b"file,score\n\xff,1\n", "no CSV file in UTF-8"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, says):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=says):
        read_scores(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("against", "says"),
    [
        ("nowhere.csv", "nowhere.csv: cannot be read: No such file"),
        ("jpeg_q80", r"no preset.*or name a measure: .*jpeg_q75.*or a \.csv file"),
        ("other.csv", "has scores of 1 of the 60 images; its column file names images as the data set does"),
    ],
)
def test_mistakes_are_told_before_the_work(make_scorer, ic9600, tmp_path, monkeypatch, against, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("file,score\nabstract_0000.jpg,.5\nelsewhere.jpg,.2\n")
    with pytest.raises(UserError, match=says):
        judge("no model: it is not asked for yet", ic9600, against=against)


def test_a_tflite_file_is_judged_as_its_keras_file(tflite, ic9600, tmp_path):
    keras_file, tflite_file = tflite
    expected = judge(keras_file, ic9600)
    command = ["evaluate", tflite_file, "--dataset", "ic9600", "--root", ic9600, "--resamples", "50"]
    result = CliRunner().invoke(
        main, list(map(str, [*command, "--output", tmp_path / "out", "--untrained-seeds", "1"]))
    )
    assert result.exit_code == 0, result.output
    found = judge(tflite_file, ic9600, against=keras_file)
    assert found.main.predictor == "fitted" and found.main.left_out == 4  # the file carries what it was fitted to
    np.testing.assert_allclose(values(found)[4:], values(expected)[4:], atol=0.02)
    assert abs(found.against.difference.value) < 0.1 and found.against.mine.images.sum() == 20
    both = {"ridge_mean_token": None, "fitted": None}
    assert {a.predictor for a in found.agreements if a.group == "model"} == set(both)
    for predictor in both:
        mine, other = (
            next(a.srcc for a in e.agreements if (a.group, a.predictor) == ("model", predictor))
            for e in (found, expected)
        )
        assert mine == pytest.approx(other, abs=0.1)
    html = (tmp_path / "out" / "report.html").read_text()
    assert "its complexity map" in html and "the same encoder, untrained" not in html


def test_one_score_for_all_images_is_no_rival(make_scorer, test_part, ic9600, tmp_path):
    (tmp_path / "flat.csv").write_text("file,score\n" + "".join(f"{name},0.5\n" for name in test_part.names))
    found = judge(make_scorer(0), ic9600, against=tmp_path / "flat.csv")
    assert any("no difference: scores of" in note and "constant" in note for note in found.notes)
    assert "that both are judged on" not in report_html(found)


def test_a_head_that_saw_no_label_is_called_so_in_every_file(tiny_encoder, ic9600, tmp_path):
    scorer = ComplexityScorer(tiny_encoder, LinearHead(("diversity",), label_range=None))
    scorer.head.kernel.assign([3.0, -2.0])
    scorer.save(tmp_path / "free.keras")
    export(tmp_path / "free.keras", output=tmp_path / "free.tflite")
    told = unpack(tmp_path / "free.tflite")
    assert told.metadata["label_range"] is None and "No complexity that people judged was shown to it." in told.card
    found = [judge(tmp_path / name, ic9600) for name in ("free.keras", "free.tflite")]
    scores = [next(p.values for p in each.predictions if p.predictor == "label_free") for each in found]
    np.testing.assert_allclose(*scores, atol=0.02)
    for each in found:
        assert each.model.mapped == "label_free" and each.model.label_range is None
        assert not any(a.predictor == "fitted" for a in each.agreements)


def test_a_label_free_tflite_file(tiny_encoder, ic9600, tmp_path):
    scorer = ComplexityScorer.label_free(tiny_encoder)
    file = export(scorer, output=tmp_path / "free.tflite").path
    found = judge(file, ic9600)
    assert found.main.predictor == "ridge_mean_token" and not any("does not say" in note for note in found.notes)
    score = next(p.values for p in found.predictions if p.predictor == "label_free")
    expected = next(p.values for p in judge(tiny_encoder, ic9600).predictions if p.predictor == "diversity")
    np.testing.assert_allclose(score, expected, atol=0.02)
    assert found.main.left_out == 0
    with pytest.raises(UserError, match=r"device: .*free.tflite is computed by LiteRT, on the CPU; leave gpu out"):
        judged_model(file, "gpu")


def test_the_tail_of_a_dotted_name_is_no_files_ending():
    names = ["photo.1", "photo.2", "b.3.png"]
    scores = {"photo.1.jpg": 0.1, "photo.3": 0.3, "b.3": 0.5}
    assert match_scores(scores, names, "theirs.csv") == {"photo.1": 0.1, "b.3.png": 0.5}


def test_the_home_folder_is_where_the_user_means(tflite, monkeypatch):
    _, file = tflite
    monkeypatch.setenv("HOME", str(file.parent))
    assert judged_model(f"~/{file.name}").mapped == "fitted"
