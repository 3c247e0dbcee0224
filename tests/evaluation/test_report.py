"""The report: reports of real evaluations of a few images, read as a browser would."""

import csv
import shlex
import shutil
import subprocess
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from clicv2_keras.cli.evaluate import evaluate as command
from clicv2_keras.evaluation.agreement import Agreement, Figure
from clicv2_keras.evaluation.predictors import PREDICTORS
from clicv2_keras.evaluation.report import names
from clicv2_keras.evaluation.report.names import label, name
from clicv2_keras.evaluation.report.provenance import Provenance, command_line, recipe_of
from clicv2_keras.evaluation.report.report import Verdict, report_html
from clicv2_keras.evaluation.report.scatter import regression_band
from clicv2_keras.evaluation.run import evaluate
from clicv2_keras.evaluation.statistics import METRICS
from clicv2_keras.models import ComplexityScorer, LinearHead, ViTEncoder
from clicv2_keras.utils.procedural import procedural_image

HOSTILE = '"><b>&$x$.jpg'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """A page's tables as lists of rows of cells, its pictures, and all that it refers to."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.pictures, self.references, self.open = [], [], [], []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.references += [v for k, v in attributes.items() if k in ("src", "href", "xlink:href", "srcset", "data")]
        if tag == "img":
            self.pictures.append(attributes["alt"])
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "small" not in self.open and ("td" in self.open or "th" in self.open):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """28 images of two categories, half of them to fit on."""
    folder = tmp_path_factory.mktemp("scored")
    rows = []
    for i in range(28):
        file = HOSTILE if i == 27 else f"{i}.jpg"
        pixels, complexity = procedural_image(i, 40)
        Image.fromarray(pixels[:32]).save(folder / file, "JPEG")
        rows.append([file, "plain <i>" if i % 2 else "other", "train" if i < 14 else "val", f"{100 * complexity:.2f}"])
    with open(folder / "scored.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["file", "category", "split", "score"], *rows])
    return folder / "scored.csv"


def judge(table, model=None, resamples=50, **options):
    keras.utils.set_random_seed(0)
    model = model or tiny_encoder()
    return evaluate(model, "csv", table, resamples=resamples, untrained_seeds=2, progress=False, **options)


def tiny_encoder():
    return ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)


@pytest.fixture(scope="module")
def ranked(table):
    return judge(table, within_category=True)


@pytest.fixture(scope="module")
def html(ranked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    ranked.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["predictions.csv", "report.html", "table.csv"]
    return (folder / "report.html").read_text(encoding="utf-8")


def shown(figure):
    return "" if figure is None else "–" if np.isnan(figure.value) else f"{figure.value:.3f}".replace("-", "−")


def row_of(first, figures):
    return [first, *(shown(figures.get(metric)) for metric in METRICS)]


def rows_of(table):
    """The rows below the head, without the lines that name a group."""
    return [[cell.strip() for cell in row] for row in table[1:] if len(row) > 1]


def test_holds_every_predictor_with_the_figures_of_the_table(ranked, html):
    page = Page(html)
    assert page.tables[0][0][0] == "predictor"
    rows = rows_of(page.tables[0])
    assert rows == [row_of(label(a), a.headline) for a in ranked.agreements]
    assert "mean of the category" in [row[0] for row in rows if "–" in row]  # constant within a category
    expected = [[name(other), shown(figure)] for other, figure in ranked.differences]
    assert [[n, v.replace("+", "")] for n, v in rows_of(page.tables[1])] == expected
    for table, agreement in zip(page.tables[2:4], (ranked.main, ranked.agreements[0]), strict=True):
        parts = ["other", "plain <i>", "mean of categories"]
        assert rows_of(table) == [row_of(part, agreement.rows[part])[: len(table[0])] for part in parts]


def test_marks_the_best_of_each_column(ranked, html):
    best = max(a.srcc for a in ranked.agreements if a.srcc > -1)
    assert f'<td class="best"><b>{best:.3f}</b>' in html
    assert html.count('<td class="best">') >= len(METRICS)


def test_nothing_comes_from_elsewhere(html):
    page = Page(html)
    assert page.references and all(r.startswith(("data:", "#")) for r in page.references)
    assert "http:" not in html and "https:" not in html and "<script" not in html
    assert len(html) < 3e6


def test_a_file_name_is_text_and_no_markup(html):
    page = Page(html)
    assert HOSTILE in page.pictures
    assert "<b>&" not in html and "<i>" not in html.split("</style>")[1].replace("<i style", "")


def test_ranked_within_categories_nothing_is_pooled(html):
    page = Page(html)
    assert "overall" not in page.text and "14 images together" not in page.text
    assert html.count("<figcaption><b>") == 2  # a scatter plot a category
    assert "7 of 7" in page.text


@pytest.fixture(scope="module")
def constant(table):
    """An evaluation of a fitted scorer that gives all images the same, of scores that compare, one image gone since."""
    copy = shutil.copytree(table.parent, table.parent.with_name("copy"))
    evaluation = judge(copy / table.name, ComplexityScorer(tiny_encoder(), LinearHead()), baselines=False)
    (copy / "20.jpg").unlink()
    return evaluation


def test_scores_that_compare_are_pooled_in_one_plot(constant):
    page = Page(report_html(constant))
    assert "All 14 images together" in page.text
    assert "● other" in page.text and "■ plain <i>" in page.text
    assert rows_of(page.tables[0]) == [row_of(name(a), a.rows["overall"]) for a in constant.agreements]


def test_a_constant_model_is_called_so_and_a_lost_image_named(constant):
    page = Page(report_html(constant))
    text = " ".join(page.text.split())
    assert "has no SRCC: what it predicts is constant, and" in text
    assert rows_of(page.tables[0])[0][:4] == [name(constant.main), "–", "–", "–"]
    assert "cannot be read any more: no such file" in text
    assert f"The mean of a map is the image’s {name(constant.main)}." in text


def test_command_and_recipe_are_told(ranked):
    page = Page(
        report_html(replace(ranked, provenance=Provenance("a", "name: <x>\n", "clicv2-keras evaluate 'a <b>'")))
    )
    assert "clicv2-keras evaluate 'a <b>'" in page.text and "name: <x>" in page.text


@pytest.mark.parametrize("baselines, untrained_seeds", [(True, 2), (False, 5)])
def test_the_command_parses_to_the_arguments(baselines, untrained_seeds):
    arguments = dict(
        model="my runs/a", dataset="csv", root="a b.csv", test_split="odd", within_category=True, baselines=baselines,
        resamples=20, seed=3, untrained_seeds=untrained_seeds, against="jpeg_q75",
    )  # fmt: skip
    words = shlex.split(command_line(**arguments))
    # Beside --no-baselines it is refused.
    assert ("--untrained-seeds" in words) is baselines
    assert words[:2] == ["clicv2-keras", "evaluate"]
    parsed = command.make_context("evaluate", words[2:]).params
    assert parsed.pop("batch_size") == 64  # no figure depends on it
    assert {name: value for name, value in parsed.items() if value is not None} == arguments
    assert command_line(**{**arguments, "model": tiny_encoder()}) is None


def test_the_recipe_is_that_of_a_run_folder_or_a_preset(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: mine\n")
    assert recipe_of(tmp_path) == recipe_of(str(tmp_path)) == "name: mine\n"
    assert "steps: " in recipe_of("default")
    assert recipe_of("vit_tiny_patch16") is recipe_of(tmp_path / "recipe.yaml") is recipe_of(tiny_encoder()) is None


def test_every_predictor_has_a_name_and_no_two_the_same():
    assert list(names.PREDICTOR_NAMES) == list(PREDICTORS)
    assert len(set(names.PREDICTOR_NAMES.values())) == len(PREDICTORS)


def test_without_resamples_nothing_is_said_of_intervals(table):
    text = Page(report_html(judge(table, baselines=False, resamples=0))).text
    assert "SRCC" in text and "interval" not in text and "resample" not in text.split("How this was made")[0]


def agreement(value, samples):
    return Agreement("png", "no_model", False, {"overall": {"SRCC": Figure(value, 0, 1)}}, np.array(samples))


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(0.8, "beats"), (0.52, "does not clearly beat"), (0.5, "does not beat"), (0.2, "falls short of")],
)
def test_only_an_interval_above_zero_is_a_win(value, outcome):
    noise = np.linspace(-0.1, 0.1, 101)
    rivals = [agreement(np.nan, noise), agreement(0.5, 0.5 + 0 * noise), agreement(0.1, noise)]
    verdict = Verdict.of(agreement(value, value + noise), rivals)
    assert verdict.rival is rivals[1] and verdict.difference.value == pytest.approx(value - 0.5)
    assert verdict.outcome == outcome


def test_the_band_is_that_of_the_mean_response():
    x, noise = np.random.default_rng(0).normal(size=(2, 30))
    middle, half = regression_band(x, 2 * x + noise, np.array([0.0]))
    fit = stats.linregress(x, 2 * x + noise)
    assert middle[0] == pytest.approx(fit.intercept)
    assert half[0] == pytest.approx(stats.t.ppf(0.975, 28) * fit.intercept_stderr)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")
@pytest.mark.parametrize("width", [400, 1280])
def test_fits_the_screen(html, tmp_path, width):
    frame = f"""<!DOCTYPE html><meta charset=utf-8>
        <iframe id=f style="border:0;width:{width}px;height:900px" srcdoc="{escape(html)}"></iframe><pre id=out></pre>
        <script>onload = () => {{
          const d = f.contentDocument, broken = [...d.images].filter(i => !i.naturalWidth).length
          out.textContent = `width ${{d.documentElement.scrollWidth}} images ${{d.images.length}} broken ${{broken}}`
        }}</script>"""
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
    flags += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--window-size=1400,1000"]
    out = subprocess.run(
        [CHROMIUM, *flags, f"file://{tmp_path}/frame.html"], capture_output=True, text=True, timeout=60
    )
    assert f"width {width} images 24 broken 0" in out.stdout
