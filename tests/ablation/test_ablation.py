import io

import numpy as np
import pytest
from rich.console import Console

from clicv2_keras.ablation.ablation import Ablation
from clicv2_keras.ablation.figure import draw

VALUES = {"one": [0.1, 0.4, 0.15], "two": [0.9]}


@pytest.fixture
def ablation():
    rows = [
        {"row": name, "seed": seed, "steps": 2, "images": 16, "ridge_srcc": value, "seconds": 1.0, "error": ""}
        for name, values in VALUES.items()
        for seed, value in enumerate(values)
    ]
    diverged = {"row": "two", "seed": 1, "steps": 2, "images": 16, "seconds": 1.0, "error": "the loss is not finite"}
    return Ablation([*rows, diverged], "judged so", ["a note"])


def test_mean_and_sample_deviation_are_those_of_numpy(ablation):
    summary = ablation.summary()
    one, two = (summary[name]["ridge_srcc"] for name in VALUES)
    assert one == pytest.approx((np.mean(VALUES["one"]), np.std(VALUES["one"], ddof=1), 3))
    assert two.mean == 0.9 and np.isnan(two.deviation) and two.n == 1
    assert ablation.figures == ["ridge_srcc"]


def test_the_table_says_what_diverged(ablation):
    console = Console(record=True, width=120, file=io.StringIO())
    ablation.show(console)
    shown = console.export_text()
    for part in ("0.217 ± 0.161", "0.900", "ridge, SRCC", "judged so", "a note", "two, seed 1: the loss is not finite"):
        assert part in shown
    assert "nan" not in shown


def test_the_plot_shows_each_seed_each_mean_and_each_deviation(ablation):
    (panel,) = draw(ablation).axes
    assert panel.get_xlabel() == "agreement (SRCC)"
    assert [label.get_text() for label in panel.get_yticklabels()] == ["one", "two"]
    dots = [line.get_xdata() for line in panel.lines if line.get_markeredgecolor() == "white"]
    assert [list(xs) for xs in dots] == list(VALUES.values())
    (bars,) = panel.containers
    np.testing.assert_allclose(bars.lines[0].get_xdata().astype(float), [np.mean(values) for values in VALUES.values()])
    ends = bars.lines[2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(ends[1] - ends[0], 2 * np.std(VALUES["one"], ddof=1))


def test_an_ablation_of_which_all_diverged_can_be_shown_and_drawn(ablation):
    alone = Ablation(ablation.rows[-1:], "judged so", [])
    console = Console(record=True, width=120, file=io.StringIO())
    alone.show(console)
    assert "not finite" in console.export_text() and draw(alone).axes == []


def test_names_are_drawn_as_they_are_and_never_as_formulas():
    rows = [{"row": "data.path=x$\\a$\udcff", "seed": 0, "ridge_srcc": 0.5, "seconds": 1.0, "error": ""}]
    figure = draw(Ablation(rows, "agreement on $\\frac$\udcff", []))
    figure.savefig(io.BytesIO())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["data.path=x$\\a$?"]
