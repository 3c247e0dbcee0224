"""Human labels as a branch of a run, alone or beside the others."""

import csv

import keras
import numpy as np
import pytest
from keras import ops
from tiny_network import tiny_feature_maps
from tiny_recipe import TINY

import clicv2_keras
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.plan import describe_run
from clicv2_keras.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")


@pytest.fixture
def labelled(scored, jpegs):
    """Overrides of a run with labels; contrast stays on, on other images."""
    labels = f"labels={{dataset: csv, root: {scored}, parts: [token], steadiness: 1, weight: 2}}"
    return [*TINY, f"data.path={jpegs}", labels, "entropy.weight=0", "train.steps=2", "run.log_every=2"]


def test_labels_beside_the_contrast(tmp_path, labelled):
    run = clicv2_keras.train("quickstart", [*labelled, f"run.dir={tmp_path}"], progress=False)
    with open(tmp_path / "metrics.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    expected = float(row["contrastive_loss"]) + 2 * float(row["label_loss"])
    np.testing.assert_allclose(float(row["loss"]), expected, rtol=1e-4)
    scorer = keras.saving.load_model(tmp_path / "scorer.keras")
    assert scorer.head.read_out.parts == ("token",)
    for part in (scorer.head, scorer.encoder):  # the labels of train, 24 images, trained both
        assert len(part.fitted_to) == 24
    assert run.model.labels.weight == 2


def test_labels_alone_need_no_other_images(tmp_path, labelled):
    alone = [*labelled, "contrast.level=none", "data.path=null", f"run.dir={tmp_path}"]
    told = describe_run("quickstart", alone)
    assert "images      24 (with labels)" in told and "labels      (4, 2, 32, 32, 3), of 24 images of scores" in told
    run = clicv2_keras.train("quickstart", alone, progress=False)
    assert set(run.folder.rows[0]) >= {"label_loss", "label_error", "embedding_std"}
    assert "contrastive_loss" not in run.folder.rows[0]


def test_other_labels_are_refused_when_a_run_goes_on(tmp_path, labelled, scored):
    overrides = [*labelled, f"run.dir={tmp_path / 'run'}"]
    clicv2_keras.train("quickstart", overrides, progress=False)
    table = scored.read_text()
    # What was judged is fitted to now.
    scored.write_text(table.replace(",val", ",train"))
    for call in (describe_run, clicv2_keras.train):
        with pytest.raises(UserError, match="was started with other labels .24, now 36.; resume with the same"):
            call("quickstart", overrides, resume=True)
    scored.write_text(table)
    clicv2_keras.train("quickstart", overrides, resume=True, progress=False)


def test_a_probe_of_what_the_labels_fit_is_refused(tmp_path, labelled, scored):
    probe = f"probe={{dataset: csv, root: {scored}, split: val}}"
    assert "labels" in describe_run("quickstart", [*labelled, probe])
    for call in (describe_run, clicv2_keras.train):
        with pytest.raises(UserError, match="probe.*: of 12 images to judge by 12 are those that the labels fit"):
            call("quickstart", [*labelled, probe, "labels.splits=[train, val]", f"run.dir={tmp_path / 'run'}"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("labels.root=null", "labels.root: name where csv lie, each in its place"),
        ("labels.dataset=[csv, csv]", "labels.root: name where csv and csv lie, each in its place"),
        ("distribution.strategy=data_parallel", "labels need distribution.strategy none"),
        ("labels.parts=[tokens]", "labels.parts.0: 'tokens' is not allowed; did you mean token"),
    ],
)
def test_mistakes_in_a_recipe(labelled, override, message):
    with pytest.raises(UserError, match=message):
        load_recipe("quickstart", [*labelled, override])


def test_mistakes_in_the_data(labelled, tmp_path):
    for override, message in (
        ("labels.splits=[validation]", "--set: labels: scores: has no image in validation; its parts are"),
        ("labels.root=nowhere.csv", "--set: labels: nowhere.csv: there is no such file"),
    ):
        with pytest.raises(UserError, match=message):
            clicv2_keras.train("quickstart", [*labelled, override, f"run.dir={tmp_path / 'run'}"], progress=False)
        assert not (tmp_path / "run").exists()


def test_a_new_stem_takes_its_statistics_of_the_labelled_images(tmp_path, labelled):
    tiny_feature_maps().save(tmp_path / "stem.keras")
    keys = ["contrast.level=none", f"encoder.stem={tmp_path / 'stem.keras'}", f"run.dir={tmp_path / 'run'}"]
    model = clicv2_keras.train("quickstart", [*labelled, *keys], progress=False).model
    assert np.ptp(ops.convert_to_numpy(model.encoder.stem.mean)) > 0


def test_too_few_labels_are_told_by_the_dry_run_too(tmp_path, scored, labelled):
    lines = scored.read_text().splitlines()
    few = scored.with_name("few.csv")
    few.write_text("\n".join(lines[:6]) + "\n")
    keys = [*labelled, f"labels.root={few}", f"run.dir={tmp_path / 'run'}"]
    for call in (describe_run, clicv2_keras.train):
        with pytest.raises(UserError, match="labels: few: .* are too few to fit to; give at least 10"):
            call("quickstart", keys)


def test_a_branch_has_the_labels_of_the_run_that_it_is_of(tmp_path, labelled):
    alone = [*labelled, "contrast.level=none", "data.path=null", "train.steps=1", "run.log_every=1"]
    clicv2_keras.train("quickstart", [*alone, f"run.dir={tmp_path / 'run'}"], progress=False)
    branch = [*alone, "train.steps=2", f"run.dir={tmp_path / 'branch'}"]
    with pytest.raises(UserError, match=r"its labels.splits is \['train'\], not \['test'\]; take the same labels"):
        clicv2_keras.train("quickstart", [*branch, "labels.splits=[test]"], begin=tmp_path / "run", progress=False)
    assert not (tmp_path / "branch").exists()
    clicv2_keras.train("quickstart", branch, begin=tmp_path / "run", progress=False)
