"""The evaluator that `evaluate`, the run's probe, `ablate` and the quickstart's table share."""

import numpy as np
import pytest

from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.data.sources import ProceduralSource
from clicv2_keras.evaluation import features
from clicv2_keras.evaluation.evaluator import Evaluator
from clicv2_keras.evaluation.predictors import PREDICTORS
from clicv2_keras.evaluation.run import evaluate
from clicv2_keras.evaluation.statistics import Bootstrap
from clicv2_keras.layers import PatchEntropy
from clicv2_keras.utils.errors import UserError

WITHOUT_PIXELS = ("ridge", "ridge_mean_token", "diversity")


@pytest.fixture(scope="module")
def data(ic9600):
    return open_scored("ic9600", ic9600)


def test_figures_are_floats_by_stable_keys(tiny_encoder, data):
    figures = Evaluator(data, untrained_seeds=2, content=True).run(tiny_encoder).figures
    assert all(isinstance(value, float) for value in figures.values())
    for key in (
        "model/ridge/srcc",
        "model/ridge/person/rmse",
        "model/ridge/mean of categories/krcc",
        "untrained/ridge_mean_token/pcc",
        "no_model/edges/srcc",
        "no_model/category_mean/objects/rmae",
        "model/category_accuracy",
        "untrained/token_retrieval",
        "chance/token_retrieval",
    ):
        assert key in figures
    assert figures["model/ridge/srcc"] == figures["model/ridge/overall/srcc"]
    # There is no fitted score to judge, and one ridge a category only where scores are ranked within them.
    assert not any("fitted" in key or "masked_entropy" in key or "per_category" in key for key in figures)


def test_they_are_those_of_evaluate(tiny_encoder, data, ic9600):
    mine = Evaluator(data, WITHOUT_PIXELS).run(tiny_encoder).figures
    theirs = evaluate(tiny_encoder, "ic9600", ic9600, baselines=False, resamples=20, progress=False)
    assert len(mine) > 50 and mine.items() <= theirs.figures.items()
    assert np.isfinite(theirs.main.headline["SRCC"].low)


def test_without_resamples_there_is_no_bootstrap(tiny_encoder, data, monkeypatch):
    monkeypatch.setattr(Bootstrap, "__init__", None)
    found = Evaluator(data, ("ridge",)).run(tiny_encoder)
    (ridge,) = found.agreements
    assert ridge.samples is None and np.isnan(ridge.headline["SRCC"].low) and np.isfinite(ridge.srcc)
    assert np.isnan(ridge.above(ridge).low) and ridge.above(ridge).value == 0


def test_only_what_is_asked_for_is_computed(tiny_encoder, data, monkeypatch):
    monkeypatch.setattr(features, "handcrafted", None)
    monkeypatch.setattr(PatchEntropy, "call", None)
    monkeypatch.setattr(type(tiny_encoder), "untrained", None)
    found = Evaluator(data, ("ridge", "diversity")).run(tiny_encoder)
    assert [a.predictor for a in found.agreements] == ["diversity", "ridge"]


def test_the_same_encoder_is_compiled_once_and_its_new_weights_are_seen(tiny_encoder, data):
    encoder = tiny_encoder.copy()
    evaluator = Evaluator(data, ("ridge",))
    first = evaluator.run(encoder).figures
    extractor = evaluator._extractor
    encoder.norm.gamma.assign(np.linspace(0, 2, 16))
    second = evaluator.run(encoder).figures
    assert evaluator._extractor is extractor and first["model/ridge/srcc"] != second["model/ridge/srcc"]
    assert second == Evaluator(data, ("ridge",)).run(encoder).figures


def test_images_of_known_complexity_are_judged_alike(tiny_encoder):
    source = ProceduralSource(40, 32, seed=5)
    scores = np.array([source.complexity(i) for i in range(40)])
    splits = np.repeat(["train", "test"], 20)
    data = ScoredImages("procedural", source, scores, (0.0, 1.0), np.full(40, ""), splits)
    found = Evaluator(data, (*WITHOUT_PIXELS, "mean_entropy")).run(tiny_encoder)
    assert found.data.names == [f"procedural 5/{i}" for i in range(20, 40)]
    np.testing.assert_array_equal(found.data.scores, scores[20:])
    assert {"model/ridge/srcc", "no_model/mean_entropy/pcc"} <= set(found.figures)
    assert "category_mean" not in {a.predictor for a in found.agreements}


def test_a_mistake_is_told_before_the_work(data):
    with pytest.raises(UserError, match="there is no part 'val'"):
        Evaluator(data, test_split="val")
    flat = ScoredImages("flat", data.source, np.full(60, 0.5), (0.0, 1.0), data.categories, data.splits)
    with pytest.raises(UserError, match=r"flat: all labels that are judged on are 0\.5: nothing to agree with"):
        Evaluator(flat)
    names = np.arange(60).astype(str)
    single = ScoredImages("single", data.source, data.scores, (0.0, 1.0), names, data.splits, True)
    with pytest.raises(UserError, match="single: no category has 5 images to be judged on"):
        Evaluator(single)


def test_all_predictors_are_in_the_order_of_the_table(tiny_encoder, data):
    found = Evaluator(data, tuple(PREDICTORS)[::-1], untrained_seeds=1).run(tiny_encoder)
    keys = [a.predictor for a in found.agreements if a.group == "no_model"]
    assert keys == [key for key in PREDICTORS if key in keys] and keys[-1] == "category_mean"
