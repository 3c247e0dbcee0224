"""Predicted against human scores, drawn as SVG."""

import io
import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

# Drawn in this colour, which becomes the page's own: black on paper, light on a dark screen.
INK = "#010203"
# Okabe and Ito's, without black and yellow: they differ for every kind of colour vision, and show on white and on black.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
# Beyond it a vector graphic would weigh megabytes.
MOST_VECTORS = 600


def scatter_svg(human, predicted, categories=None, limits=(0.0, 1.0), inches=2.4):
    """A scatter plot with the regression line, its 95 % confidence band and, dotted, where the two are equal.

    Args:
        human: (n,) scores that people gave.
        predicted: (n,) predictions, in the same units.
        categories: (n,) names: colour and shape tell them apart, where there are at most six.
        limits: the ends of both axes; an axis is longer where a point lies beyond.
        inches: the side at which text has its size.

    Returns:
        An `<svg>` element as text, whose lines and text take the page's colour.
    """
    figure = Figure(figsize=(inches, inches), layout="constrained")
    axes = figure.subplots()
    names = np.unique(categories) if categories is not None else []
    groups = [categories == name for name in names] if 1 < len(names) <= len(COLORS) else [np.full(len(human), True)]
    style = {"s": 13, "alpha": 0.7, "linewidths": 0, "rasterized": len(human) > MOST_VECTORS}
    for chosen, color, marker in zip(groups, COLORS, MARKERS, strict=False):
        axes.scatter(human[chosen], predicted[chosen], color=color, marker=marker, **style)
    axes.axline((limits[0], limits[0]), slope=1, color=INK, linewidth=0.7, linestyle=":", alpha=0.6)
    line = np.linspace(human.min(), human.max(), 50)
    middle, half = regression_band(human, predicted, line)
    axes.fill_between(line, middle - half, middle + half, color=INK, alpha=0.16, linewidth=0)
    axes.plot(line, middle, color=INK, linewidth=1.2)
    low, high = (float(f([f(v) for v in (human, predicted, limits)])) for f in (np.min, np.max))
    margin = 0.03 * (high - low)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    axes.set_xlabel("people", color=INK, fontsize=9)
    axes.set_ylabel("model", color=INK, fontsize=9)
    axes.locator_params(nbins=5)
    axes.tick_params(colors=INK, labelsize=8, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=INK, linewidth=0.6)
    return _inline(figure)


def regression_band(x, y, at):
    """The least-squares line through (x, y) at the places `at`, and half the width of its 95 % confidence band.

    The band is the usual one of the mean response, t · s · √(1/n + (at - x̄)²/Σ(x - x̄)²); zero below 3 points, or where
    x does not vary.
    """
    spread = np.sum((x - x.mean()) ** 2)
    if len(x) < 3 or spread == 0:
        return np.full(len(at), y.mean()), np.zeros(len(at))
    slope = np.sum((x - x.mean()) * (y - y.mean())) / spread
    middle = y.mean() + slope * (at - x.mean())
    residuals = y - y.mean() - slope * (x - x.mean())
    deviation = np.sqrt(np.sum(residuals**2) / (len(x) - 2))
    half = stats.t.ppf(0.975, len(x) - 2) * deviation * np.sqrt(1 / len(x) + (at - x.mean()) ** 2 / spread)
    return middle, half


def _inline(figure):
    """What of a figure's SVG file belongs into a page: no prologue, no names, no style sheet for the whole page."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "savefig.dpi": 200}):
        figure.savefig(
            text, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text.getvalue(), count=1, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"|(?<=<g) id="[^"]*"', "", svg[svg.index("<svg") :])
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(INK, "currentColor")
