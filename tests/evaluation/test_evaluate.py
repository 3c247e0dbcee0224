"""Evaluation from end to end, on small data sets in their published layouts."""

import contextlib
import csv
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.evaluation import content, judged_model, run
from clicv2_keras.evaluation.agreement import Judge
from clicv2_keras.evaluation.content import PatchEncoder, category_accuracy, token_retrieval
from clicv2_keras.evaluation.predictors import MODEL, NO_MODEL, UNTRAINED, Prediction
from clicv2_keras.evaluation.report.names import label
from clicv2_keras.evaluation.run import evaluate
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage


@pytest.fixture(scope="module")
def evaluation(tiny_encoder, ic9600):
    return evaluate(tiny_encoder, "ic9600", ic9600, resamples=50, progress=False)


def find(evaluation, predictor, group):
    return next(p for p in evaluation.predictions if (p.predictor, p.group) == (predictor, group))


def test_ic9600_as_published(evaluation, known):
    assert len(evaluation.data) == 24 and "train (36 images), judged on test (24)" in evaluation.protocol
    np.testing.assert_allclose(evaluation.data.scores, known)
    assert list(evaluation.main.rows) == ["overall", "mean of categories", "abstract", "objects", "person"]
    assert {p.group for p in evaluation.predictions} == {MODEL, UNTRAINED, NO_MODEL}
    for prediction, agreement in zip(evaluation.predictions, evaluation.agreements, strict=True):
        runs = (5, 24) if prediction.group == UNTRAINED else (24,)
        assert prediction.values.shape == runs
        found = agreement.rows["overall"]["SRCC"]
        assert found.value == pytest.approx(np.mean(srcc(prediction.values, known)), nan_ok=True)
        assert not found.low > found.value and not found.high < found.value
        assert set(agreement.headline) == {"PCC", "SRCC", "KRCC"} | (
            {"RMSE", "RMAE"} if prediction.calibrated else set()
        )
    by_category = [evaluation.main.rows[name]["PCC"].value for name in ("abstract", "objects", "person")]
    assert evaluation.main.rows["mean of categories"]["PCC"].value == pytest.approx(np.mean(by_category))


def test_the_untrained_rows_are_means_of_five_initialisations(evaluation, known):
    untrained = [a for a in evaluation.agreements if a.group == UNTRAINED]
    assert len(untrained) == 3 and all(a.initialisations == 5 for a in untrained)
    for agreement in untrained:
        runs = srcc(find(evaluation, agreement.predictor, UNTRAINED).values, known)
        assert len(set(runs)) == 5 and agreement.spread == pytest.approx(np.std(runs, ddof=1))
        assert f"(5 seeds, SRCC ± {agreement.spread:.3f})" in label(agreement)
        # The interval is that of the mean, resampled as the others are, so that differences pair.
        assert len(agreement.samples) == 50 and agreement.headline["SRCC"].low <= np.median(agreement.samples)
    category, token = evaluation.content
    assert (category.key, category.among) == ("category_accuracy", 3)
    assert token.key == "token_retrieval" and 0 <= token.untrained <= 1 and token.chance == 1 / token.among == 1 / 60


def test_known_complexity_is_found_in_the_pixels(evaluation, known):
    """The baselines are no stubs: they see what makes these images complex."""
    assert srcc(find(evaluation, "handcrafted_ridge", NO_MODEL).values, known) > 0.5
    assert srcc(find(evaluation, "edges", NO_MODEL).values, known) > 0.4
    np.testing.assert_allclose(
        sorted(set(find(evaluation, "category_mean", NO_MODEL).values)),
        sorted(
            np.mean([float(line.split("  ")[1]) for line in open_lines(evaluation) if line.startswith(name)])
            for name in ("abstract", "objects", "person")
        ),
    )


def open_lines(evaluation):
    return (evaluation.data.source.paths[0].parents[1] / "train.txt").read_text().splitlines()


@pytest.mark.parametrize("within", [False, True])
def test_labels_of_the_test_part_change_no_prediction(tiny_encoder, ic9600, evaluation, tmp_path, within):
    """Neither the ridge's strength nor anything else may have seen them: every predictor stays as it was."""
    root = tmp_path / "IC9600"
    shutil.copytree(ic9600, root)
    lines = [line.split("  ") for line in (root / "test.txt").read_text().splitlines()]
    turned = [f"{name}  {1 - float(score):.4f}\n" for name, score in lines]
    (root / "test.txt").write_text("".join(turned))
    options = {"within_category": within, "resamples": 10, "progress": False, "baselines": not within}
    first = evaluate(tiny_encoder, "ic9600", ic9600, **options) if within else evaluation
    second = evaluate(tiny_encoder, "ic9600", root, **options)
    for one, other in zip(first.predictions, second.predictions, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert first.main.headline["PCC"].value != second.main.headline["PCC"].value


def test_ranked_within_categories_nothing_is_pooled(tiny_encoder, ic9600):
    options = {"within_category": True, "baselines": False, "resamples": 10, "progress": False}
    evaluation = evaluate(tiny_encoder, "ic9600", ic9600, **options)
    at_hand = evaluate(tiny_encoder, open_scored("ic9600", ic9600), **options)
    assert {a.predictor: list(a.rows) for a in at_hand.agreements} == {
        a.predictor: list(a.rows) for a in evaluation.agreements
    }
    assert all("overall" not in a.rows for a in evaluation.agreements)
    assert any("never pooled" in note for note in evaluation.notes)
    assert any("constant within a category" in note and "mean of the category" in note for note in evaluation.notes)


def test_a_perfect_and_a_shuffled_predictor(rng):
    known, categories = rng.random(300), np.array(["a", "b", "c"] * 100)
    both = Judge(known, categories, pooled=True, resamples=200)

    def judge(values):
        return both.agreement(Prediction("ridge", MODEL, values, True))

    perfect = judge(known.copy())
    for row in perfect.rows.values():
        assert [row[m].value for m in ("PCC", "SRCC", "KRCC")] == pytest.approx([1, 1, 1])
        assert row["RMSE"].value == row["RMAE"].value == 0 and row["SRCC"].low == pytest.approx(1)
    shuffled = judge(rng.permutation(known))
    for metric in ("PCC", "SRCC", "KRCC"):
        assert shuffled.headline[metric].low < 0 < shuffled.headline[metric].high


def test_a_fitted_scorer_is_judged_by_its_own_score(tiny_encoder, ic9600, rng):
    scorer = ComplexityScorer(tiny_encoder, LinearHead())
    scorer.head.kernel.assign(rng.normal(0, 0.3, scorer.head.kernel.shape))
    evaluation = evaluate(scorer, "ic9600", ic9600, baselines=False, resamples=10, progress=False)
    assert evaluation.main.predictor == "fitted"
    data = open_scored("ic9600", ic9600)
    images = np.stack([data.source.load(i).resize((32, 32), 2) for i in range(36, 60)])
    np.testing.assert_allclose(
        find(evaluation, evaluation.main.predictor, MODEL).values, scorer.predict(images, verbose=0)["score"], atol=1e-5
    )


def test_a_score_of_labels_of_another_range_is_brought_to_these(tiny_encoder, ic9600, rng, tmp_path):
    """A perfect scorer's error is nought, whatever the ends of the table that it is judged by."""
    scorer = ComplexityScorer(tiny_encoder, LinearHead(label_range=(10, 30)))
    scorer.head.kernel.assign(rng.normal(0, 3, scorer.head.kernel.shape))
    images = open_scored("ic9600", ic9600).source
    pixels = np.stack([images.load(i).resize((32, 32), 2) for i in range(24)])
    labels = 10 + 20 * scorer.predict(pixels, verbose=0)["score"].astype("float64")
    for i in range(24):
        images.load(i).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{value:.8f}\n" for i, value in enumerate(labels))
    (tmp_path / "all.csv").write_text(f"file,score\n{rows}")
    evaluation = evaluate(scorer, "csv", tmp_path / "all.csv", baselines=False, resamples=0, progress=False)
    assert evaluation.main.predictor == "fitted" and evaluation.data.score_range == pytest.approx(
        (labels.min(), labels.max())
    )
    assert evaluation.main.headline["RMSE"].value == pytest.approx(0, abs=1e-5)
    assert any("was fitted to labels from 10 to 30, these run from" in note for note in evaluation.notes)
    scorer.head.label_range = (0.0, 1.0)
    evaluation = evaluate(scorer, "csv", tmp_path / "all.csv", baselines=False, resamples=0, progress=False)
    assert evaluation.main.headline["RMSE"].value > 0.01
    assert not any("taken as of one scale" in note for note in evaluation.notes)


def test_a_category_of_one_image_is_left_out_and_named(tiny_encoder, ic9600, tmp_path):
    images = open_scored("ic9600", ic9600)
    rows = [f"{i}.png,{images.scores[i]},{'b' if i == 7 else 'a'}\n" for i in range(20)]
    for i in range(20):
        images.source.load(i).save(tmp_path / f"{i}.png")
    (tmp_path / "all.csv").write_text("file,score,category\n" + "".join(rows))
    options = {"within_category": True, "baselines": False, "resamples": 10, "progress": False}
    evaluation = evaluate(tiny_encoder, "csv", tmp_path / "all.csv", **options)
    assert "too few images to judge by, and left out: b" in evaluation.notes
    ridge = find(evaluation, "ridge", MODEL)
    judged = next(a for a in evaluation.agreements if (a.predictor, a.group) == ("ridge", MODEL))
    assert judged.images.sum() == 19 and list(judged.rows) == ["mean of categories", "a"]
    of_a = np.arange(20) != 7
    assert judged.srcc == pytest.approx(srcc(ridge.values[of_a], images.scores[:20][of_a]))
    pooled = evaluate(tiny_encoder, "csv", tmp_path / "all.csv", **options | {"within_category": False})
    assert "too few images to judge by, and not in the mean of categories: b" in pooled.notes
    judged = next(a for a in pooled.agreements if (a.predictor, a.group) == ("ridge", MODEL))
    assert judged.counts == {"overall": 20, "mean of categories": 19, "a": 19, "b": 1}
    assert judged.rows["mean of categories"]["SRCC"] == judged.rows["a"]["SRCC"]
    # The means of folds, lower where the labels are higher, would be of -.1 or less.
    mean = next(a for a in evaluation.agreements if a.predictor == "category_mean")
    assert np.isnan(mean.srcc) and mean.headline["RMSE"].value > 0


def test_a_copy_of_a_judged_image_is_not_fitted_on_and_told(tiny_encoder, ic9600, tmp_path):
    images = open_scored("ic9600", ic9600)
    for i in range(30):
        images.source.load(i).save(tmp_path / f"{i}.png")
    # In another format, at another name.
    images.source.load(25).save(tmp_path / "copy.jpg", quality=80)
    rows = [f"{i}.png,{images.scores[i]},{'val' if i >= 20 else 'train'}\n" for i in range(30)]
    options = {"baselines": False, "resamples": 0, "progress": False}
    found = []
    for more in ([], [f"copy.jpg,{images.scores[25]},train\n"]):
        (tmp_path / "all.csv").write_text("file,score,split\n" + "".join(rows + more))
        evaluation = evaluate(tiny_encoder, "csv", tmp_path / "all.csv", **options)
        found.append(find(evaluation, "ridge", MODEL).values)
        assert ("1 image to fit on is alike one that is judged, and left out" in evaluation.notes) == bool(more)
    np.testing.assert_array_equal(*found)


def test_names_that_are_no_unicode_end_no_report(tiny_encoder, ic9600, tmp_path):
    images = open_scored("ic9600", ic9600)
    for i in range(20):
        images.source.load(i).save(tmp_path / f"{i}.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / "0.png").read_bytes())
    rows = "".join(f"{i}.png,{images.scores[i]}\n" for i in range(20))
    (tmp_path / "all.csv").write_text(f"file,score\n{rows}")
    evaluation = evaluate(tiny_encoder, "csv", tmp_path / "all.csv", baselines=False, resamples=0, progress=False)
    evaluation.save(tmp_path / "report")
    assert b"1 image has no label: caf\xe9.png" in (tmp_path / "report" / "report.html").read_bytes()


def test_a_broken_image_is_named_and_the_rest_judged(tiny_encoder, ic9600, tmp_path):
    root = tmp_path / "IC9600"
    shutil.copytree(ic9600, root)
    (root / "images" / "objects_0040.jpg").write_bytes(b"\xff\xd8\xff no more")
    evaluation = evaluate(tiny_encoder, "ic9600", root, baselines=False, resamples=10, progress=False)
    assert len(evaluation.data) == 23 and "objects_0040.jpg" not in evaluation.data.names
    assert any("1 of 60 images are unreadable" in note and "objects_0040.jpg" in note for note in evaluation.notes)


def test_without_a_train_part_every_image_is_judged_once(tiny_encoder, ic9600, tmp_path):
    rows = [line.split("  ") for line in (ic9600 / "train.txt").read_text().splitlines()]
    table = tmp_path / "scores.csv"
    table.write_text("file,score\n" + "".join(f"{ic9600 / 'images' / name},{score}\n" for name, score in rows))
    evaluation = evaluate(tiny_encoder, "csv", table, baselines=False, resamples=10, progress=False)
    assert "5-fold cross-validation over all 36 images" in evaluation.protocol
    assert np.isfinite(find(evaluation, "ridge", MODEL).values).all() and len(evaluation.data) == 36
    assert list(evaluation.main.rows) == ["overall"]
    with pytest.raises(UserError, match="needs a part named train"):
        evaluate(tiny_encoder, "csv", table, test_split="test", progress=False)


def test_mistakes_in_one_line(tiny_encoder, ic9600):
    with pytest.raises(UserError, match="there is no part 'val' to judge on; there are test, train"):
        evaluate(tiny_encoder, "ic9600", ic9600, test_split="val", progress=False)
    with pytest.raises(UserError, match="unknown data set; did you mean ic9600"):
        evaluate(tiny_encoder, "ic960", ic9600, progress=False)


def test_what_the_content_is_seen_in_heeds_the_batch_size_and_images_that_went_away(tiny_encoder, ic9600, monkeypatch):
    predict, sizes = PatchEncoder.predict, []
    monkeypatch.setattr(
        PatchEncoder, "predict", lambda self, x, **given: sizes.append(given["batch_size"]) or predict(self, x, **given)
    )
    options = {"baselines": False, "resamples": 0, "progress": False, "batch_size": 7}
    evaluate(tiny_encoder, "ic9600", ic9600, **options)
    assert sizes == [7, 7]

    def gone(*_):
        raise UnreadableImage("a.jpg: is gone")

    monkeypatch.setattr(content, "load_images", gone)
    with pytest.raises(UserError, match="was read before and cannot be now: a.jpg: is gone"):
        evaluate(tiny_encoder, "ic9600", ic9600, **options)


def test_content_is_seen_where_there_is_some(tiny_encoder, rng):
    categories = np.repeat(["a", "b", "c"], 20)
    telling = rng.normal(size=(60, 5)) + 4 * (categories == "b")[:, None] - 4 * (categories == "c")[:, None]
    assert category_accuracy(telling, categories) > 0.95
    assert category_accuracy(rng.normal(size=(60, 5)), categories) < 0.6
    assert category_accuracy(telling, np.full(60, "a")) is None
    flat = np.tile(rng.integers(0, 256, (40, 1, 1, 3)), (1, 32, 32, 1)).astype("uint8")
    patch_encoder = PatchEncoder(tiny_encoder)
    assert token_retrieval(patch_encoder, flat) > 0.9
    assert token_retrieval(patch_encoder, np.repeat(flat[:1], 40, axis=0)) < 0.1


def test_tables_are_written_whole(evaluation, tmp_path):
    evaluation.save(tmp_path / "out")
    rows = (tmp_path / "out" / "table.csv").read_text().splitlines()
    assert rows[0] == "group,predictor,part,metric,value,low,high,images" and len(rows) == 1 + len(evaluation.table())
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == evaluation.data.names and rows[0]["category"] == "abstract"
    main = find(evaluation, "ridge", MODEL).values
    np.testing.assert_allclose([float(row["model/ridge"]) for row in rows], main, rtol=1e-4)
    assert not list((tmp_path / "out").glob("unfinished*"))
    evaluation.save(tmp_path / "out")  # in the place of its own files
    (tmp_path / "out" / "report.html").write_text("<title>Mine</title>")
    with pytest.raises(UserError, match="report.html: is no output of clicv2-keras evaluate, and is kept"):
        evaluation.save(tmp_path / "out")


def test_a_category_may_be_called_anything_but_what_other_rows_are(tiny_encoder, ic9600, tmp_path):
    data = open_scored("ic9600", ic9600)
    odd = np.where(data.categories == "person", "[/red]", data.categories)
    evaluation = evaluate(tiny_encoder, replace(data, categories=odd), resamples=10, baselines=False, progress=False)
    with open(tmp_path / "shown.txt", "w", encoding="utf-8") as file:
        evaluation.show(Console(file=file, width=140))
    assert "[/red]" in (tmp_path / "shown.txt").read_text(encoding="utf-8")
    evaluation.save(tmp_path / "report")
    for taken in ("overall", "mean of categories"):
        odd = np.where(data.categories == "person", taken, data.categories)
        with pytest.raises(UserError, match=f"person_0002.jpg: no category can be called {taken}, as a row"):
            evaluate(tiny_encoder, replace(data, categories=odd), progress=False)


def test_neither_the_batch_size_nor_the_device_changes_a_figure(
    tiny_encoder, ic9600, evaluation, monkeypatch, tmp_path
):
    seen = []

    @contextlib.contextmanager
    def scope(name):
        seen.append(name)
        yield
        seen.append("left")

    for module in (run, judged_model):
        monkeypatch.setattr(module, "device_scope", scope)
    options = {"resamples": 0, "progress": False, "baselines": False, "batch_size": 7, "device": "gpu:1"}
    found = evaluate(tiny_encoder, "ic9600", ic9600, **options)
    assert seen == ["gpu:1", "left"]
    np.testing.assert_allclose(
        find(found, "ridge", MODEL).values, find(evaluation, "ridge", MODEL).values, rtol=1e-4, atol=1e-5
    )
    found.save(tmp_path)  # its maps are computed where the model lies
    assert seen == ["gpu:1", "left"] * 2
