"""Predicted against human scores, drawn as SVG."""

import io
import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

# Drawn in this colour, which becomes the page's own: black on paper, light on a dark screen.
INK = "#010203"
# Much as Okabe and Ito's, which differ for every kind of colour vision, and such as show on white and on black; a
# shape, for Matplotlib and for text, tells each apart without its colour.
STYLES = (
    ("#2f86c9", "o", "●"),
    ("#d55e00", "s", "■"),
    ("#009e73", "^", "▲"),
    ("#cc79a7", "D", "◆"),
    ("#e69f00", "v", "▼"),
    ("#8c8c8c", "P", "✚"),
    ("#56b4e9", "X", "✖"),
    ("#9467bd", "*", "★"),
)
# Beyond it a vector graphic would weigh megabytes.
MOST_VECTORS = 600


def legend(categories):
    """Colour and sign by category, of names (n,); empty for one category alone, and for more than there are styles."""
    names = np.unique(categories)
    if not 1 < len(names) <= len(STYLES):
        return {}
    return {str(name): (color, sign) for name, (color, _, sign) in zip(names, STYLES, strict=False)}


def scatter_svg(human, predicted, categories, limits=(0.0, 1.0), inches=2.4):
    """A scatter plot with the regression line, its 95 % confidence band and, dotted, where the two are equal.

    Args:
        human: (n,) scores that people gave.
        predicted: (n,) predictions, in the same units.
        categories: (n,) names: colour and shape tell them apart as in `legend`.
        limits: the ends of both axes; an axis is longer where a point lies beyond.
        inches: the side at which text has its size.

    Returns:
        An `<svg>` element as text, whose lines and text take the page's colour.
    """
    figure = Figure(figsize=(inches, inches), layout="constrained")
    axes = figure.subplots()
    style = {"s": 14, "alpha": 0.7, "linewidths": 0, "rasterized": len(human) > MOST_VECTORS}
    groups = [categories == name for name in legend(categories)] or [np.full(len(human), True)]
    for chosen, (color, marker, _) in zip(groups, STYLES, strict=False):
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
