"""An explanation as a picture that speaks for itself: the image, the map over it with its scale, the saliency."""

import math
import warnings

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from clicv2_keras.explanation import METHODS
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.overlays import OPACITY
from clicv2_keras.utils.text import drawable

# Inches: the side of a square image's panel; the least and the most width of any; the breadth of a colour bar.
SIDE, LEAST, MOST, BAR = 3.6, 2.4, 9.0, 0.12
DPI = 130
# A huge photograph is shown no larger, a small image no smaller: only then do the map's cells have sharp edges.
PIXELS = 700


def save(explanation, file):
    """Write the figure as PNG to `file`, a path or a binary file."""
    figure = draw(explanation)
    with warnings.catch_warnings():
        # A file's name may hold letters that no font here has: a box stands for each.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format="png")


def draw(explanation):
    """The image, the complexity map over it, and each saliency over it, as a `matplotlib.figure.Figure`.

    Each panel has the image's aspect; each colour scale is the image's own, see `Explanation.limits`.
    """
    image = open_rgb(explanation.path, at_least=PIXELS)
    scale = PIXELS / max(image.size)
    image = image.resize((math.ceil(image.width * scale), math.ceil(image.height * scale)))
    figure, panels, bars = _layout(1 + len(explanation.grids), image.width / image.height)

    panels[0].imshow(image)
    panels[0].set_title(_printable(explanation.path.name), fontsize=9, parse_math=False)
    for name, panel, bar in zip(explanation.grids, panels[1:], bars[1:], strict=True):
        panel.imshow(explanation.overlay(name, image))
        low, high = explanation.limits(name)
        # The bar looks as the colours do over a middle grey.
        scale = ScalarMappable(Normalize(low, high), "cividis")
        legend = figure.colorbar(scale, cax=bar, orientation="horizontal", alpha=OPACITY)
        bar.set_axis_on()
        bar.set_facecolor("0.5")
        bar.tick_params(labelsize=8)
        legend.outline.set_visible(False)
        if name == "map":
            panel.set_title(f"complexity {explanation.score:.3f}", fontsize=10, fontweight="bold")
            bar.axvline(explanation.score, color="black", linewidth=2)
            legend.set_label("complexity of a patch; black: their mean", fontsize=8)
        else:
            panel.set_title(METHODS[name], fontsize=9)
            legend.set_ticks([low, high], labels=["none", "most"])
            for label, side in zip(bar.get_xticklabels(), ("left", "right"), strict=True):
                label.set_horizontalalignment(side)
            legend.set_label("sensitivity of the score", fontsize=8)
    return figure


def _layout(count, aspect):
    """A figure with `count` panels, at most three in a row, and the colour bar below each; all axes still off."""
    rows = count if aspect > 2 else math.ceil(count / 3)
    columns = math.ceil(count / rows)
    width = min(max(SIDE * aspect**0.5, LEAST), MOST)
    height = min(max(width / aspect, LEAST / 4), MOST)
    figure = Figure((columns * (width + 0.1), rows * (height + 0.9)), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    cells = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[height, BAR] * rows)
    for axes in cells.ravel():
        axes.set_axis_off()
    return figure, cells[::2].ravel()[:count], cells[1::2].ravel()[:count]


def _printable(name):
    """A file's name that any font can be asked for, its end kept where it is long."""
    name = drawable(name)
    return name if len(name) <= 40 else f"…{name[-39:]}"
