import csv
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import clicv2_keras
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.evaluation.folds import selection_split
from clicv2_keras.models import CLICv2
from clicv2_keras.models.find_model import encoder_of, find_model
from clicv2_keras.training.callbacks.complexity_probe import ComplexityProbe
from clicv2_keras.utils.errors import UserError

# Of the fixture `eagerly`.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_with_a_probe_and_pictures_ends_as_one_without_and_keeps_the_best(tmp_path, tiny, scored, eagerly):
    plain, probed = tmp_path / "plain", tmp_path / "probed"
    settings = [*tiny, "train.steps=5", "run.checkpoint_every=5", "optimizer.learning_rate=0.01"]
    clicv2_keras.train("quickstart", [*settings, f"run.dir={plain}"], progress=False)
    more = ["run.images_every=1", f"probe={{dataset: csv, root: {scored}, every: 3}}"]
    clicv2_keras.train("quickstart", [*settings, *more, f"run.dir={probed}"], progress=False)
    with np.load(plain / "checkpoints/step_00000005.npz") as a, np.load(probed / "checkpoints/step_00000005.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)

    # Rows end at 2, 4 and 5: the first after 3 steps, and the last.
    asked, rows = read(probed / "probe.csv"), read(probed / "metrics.csv")
    assert [row["step"] for row in asked] == ["4", "5"]
    assert [row["probe_srcc"] for row in rows] == ["", *(f"{float(row['SRCC']):.6g}" for row in asked)]
    best = max(asked, key=lambda row: float(row["SRCC"]))
    log = (probed / "log.txt").read_text()
    assert f"best of the probe: SRCC {float(best['SRCC']):.6g} at step {best['step']}, encoder_best.keras" in log
    assert "probe at step 4: PCC " in log

    # What `evaluate` says of the encoder that was kept.
    found = clicv2_keras.evaluate(
        probed / "encoder_best.keras", "csv", scored, "val", baselines=False, resamples=0, progress=False
    )
    for metric in ("SRCC", "PCC"):
        figure = found.figures[f"model/ridge/{metric.lower()}"]
        assert figure == pytest.approx(float(best[metric]), abs=1e-5)


def test_with_a_fit_of_ones_own_it_asks_every_k_epochs_and_tells_the_history(tmp_path, tiny_encoder, scored, images):
    probe = ComplexityProbe("csv", scored, folder=tmp_path / "probe", every=2)
    model = CLICv2(tiny_encoder, contrast=None, entropy=clicv2_keras.MaskedEntropyBranch(decoder_depth=1, seed=0))
    model.compile(keras.optimizers.AdamW(1e-2), run_eagerly=True)
    history = model.fit(images, batch_size=2, epochs=3, verbose=0, callbacks=[probe])
    rows = read(tmp_path / "probe" / "probe.csv")
    assert [row["step"] for row in rows] == ["4", "6"]
    # Whole figures, in the file too: what is read back is what was measured.
    assert history.history["probe_srcc"] == [row["SRCC"] for row in probe.rows] == [float(row["SRCC"]) for row in rows]
    assert probe.best in probe.rows
    again = ComplexityProbe("csv", scored, folder=tmp_path / "probe")
    again.begin(6)
    assert again.rows == probe.rows and again.best == probe.best


@pytest.mark.parametrize("text", ["step,PCC,SRCC,SRCC a\n1,.1,high,.1\n", "step,loss\n1,.1\n", "step,PCC,SRCC\n1,.1\n"])
def test_rows_of_other_sets_are_told(tmp_path, scored, text):
    (tmp_path / "probe.csv").write_text(text)
    with pytest.raises(UserError, match="probe.csv: is broken, or of other data sets than this one; name another"):
        ComplexityProbe("csv", scored, folder=tmp_path).begin(0)


def test_of_several_sets_each_is_told_and_their_mean_chooses(tmp_path, tiny_encoder, scored, ic9600, tiny):
    probe = ComplexityProbe(["csv", "ic9600", "csv"], [scored, ic9600, scored], folder=tmp_path / "probe")
    assert probe.columns == ("step", "PCC", "SRCC", "SRCC scores 1", "SRCC ic9600", "SRCC scores 3")
    probe.begin(0)
    figures = probe.ask(tiny_encoder, 7)
    (row,) = probe.rows
    alone = [
        ComplexityProbe(name, root, folder=tmp_path / name) for name, root in (("csv", scored), ("ic9600", ic9600))
    ]
    csv_srcc, ic9600_srcc = (each.ask(tiny_encoder, 0)["probe_srcc"] for each in alone)
    assert (row["SRCC scores 1"], row["SRCC ic9600"], row["SRCC scores 3"]) == (csv_srcc, ic9600_srcc, csv_srcc)
    assert figures["probe_srcc"] == row["SRCC"] == pytest.approx((2 * csv_srcc + ic9600_srcc) / 3)
    again = ComplexityProbe(["csv", "ic9600", "csv"], [scored, ic9600, scored], folder=tmp_path / "probe")
    again.begin(7)
    assert again.rows == probe.rows

    sets = f"probe={{dataset: [csv, ic9600], root: [{scored}, {ic9600}]}}"
    clicv2_keras.train("ablation/random", [*tiny, sets, f"run.dir={tmp_path / 'run'}"], progress=False)
    with pytest.raises(UserError, match="probe.root: name where csv and ic9600 lie, each in its place"):
        clicv2_keras.describe_run("quickstart", [f"probe={{dataset: [csv, ic9600], root: [{scored}]}}"])


class Told(ComplexityProbe):
    """Its figures are told in advance."""

    def __init__(self, figures, *arguments, **more):
        super().__init__(*arguments, **more)
        figures = iter(figures)

        def run(model):
            figure = {"model/ridge/pcc": 0.5, "model/ridge/srcc": next(figures)}
            return SimpleNamespace(figures=figure, unreadable=[])

        self.evaluators = [SimpleNamespace(run=run)]


def test_the_best_is_kept_and_survives_a_kill(tmp_path, tiny_encoder, scored):
    def bias(value=None):
        """Of the encoder; marks it."""
        if value is not None:
            tiny_encoder.norm.beta.assign(np.full(16, value))
        return float(encoder_of(find_model(tmp_path / "encoder_best.keras")).norm.beta[0])

    tiny_encoder.save(tmp_path / "encoder_best.keras")
    probe = Told([float("nan"), 0.4, 0.6, 0.5, 0.6], "csv", scored, folder=tmp_path)
    probe.begin(0)
    assert probe.ask(tiny_encoder, 0)["probe_pcc"] == 0.5 and probe.best is None
    found = []
    for step in (1, 2, 3, 4):
        tiny_encoder.norm.beta.assign(np.full(16, step))
        probe.ask(tiny_encoder, step)
        found.append((probe.best["step"], bias()))
    assert found == [(1, 1), (2, 2), (2, 2), (2, 2)]

    # Goes on from step 3: the row of step 4 is told anew, the best is known.
    again = Told([0.55, 0.7], "csv", scored, folder=tmp_path)
    again.begin(3)
    assert [row["step"] for row in again.rows] == [0, 1, 2, 3]
    for step in (4, 5):
        tiny_encoder.norm.beta.assign(np.full(16, 10 * step))
        again.ask(tiny_encoder, step)
        found.append((again.best["step"], bias()))
    assert found[4:] == [(2, 2), (5, 50)]
    tiny_encoder.norm.beta.assign(np.zeros(16))


def test_a_choice_never_rests_on_test(scored, ic9600):
    data = open_scored("csv", scored)
    chosen, split = selection_split(data)
    assert split == "val" and set(chosen.splits) == {"train", "val"} and len(chosen) == 36
    assert [len(part) for part in selection_split(chosen, split)] == [36, 3]  # as it is: it may be asked twice
    with pytest.raises(UserError, match="what is chosen by test cannot be judged by it any more"):
        selection_split(data, "test")
    with pytest.raises(UserError, match="there is no part 'vla'"):
        selection_split(data, "vla")
    chosen, split = selection_split(open_scored("ic9600", ic9600))  # has no val
    assert split is None and set(chosen.splits) == {""} and len(chosen) == 36


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["probe.dataset=savoias"], "probe.root: name where savoias lie"),
        (["probe.dataset=csv", "probe.root=/nowhere.csv"], "--set: probe: /nowhere.csv: there is no such file"),
        (["probe.dataset=csv", "probe.root={scored}", "probe.split=test"], "what is chosen by test"),
    ],
)
def test_a_mistake_is_told_before_the_run(tmp_path, scored, overrides, told):
    overrides = [override.format(scored=scored) for override in overrides]
    for call in (clicv2_keras.train, clicv2_keras.describe_run):
        with pytest.raises(UserError, match=told):
            call("quickstart", [*overrides, f"run.dir={tmp_path / 'run'}"])
    assert not (tmp_path / "run").exists()
