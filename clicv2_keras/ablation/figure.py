"""An ablation as a picture: mean ± deviation a row, with the single seeds as dots."""

import textwrap

from matplotlib.figure import Figure

from clicv2_keras.ablation.ablation import FIGURES
from clicv2_keras.utils.text import drawable

# Inches of a letter of the title.
LETTER = 0.075
PANELS = {
    "agreement (SRCC)": ("ridge_srcc", "ridge_mean_srcc", "label_free_srcc"),
    "content in the features (share)": ("category_accuracy", "token_retrieval"),
}
# Okabe and Ito's colours, told apart by the colour-blind; the marker says it again.
STYLES = {
    "ridge_srcc": ("#0072B2", "o"),
    "ridge_mean_srcc": ("#E69F00", "s"),
    "label_free_srcc": ("#009E73", "^"),
    "category_accuracy": ("#CC79A7", "D"),
    "token_retrieval": ("#000000", "v"),
}


def draw(ablation):
    """A `matplotlib.figure.Figure` of an `Ablation`: rows from top to bottom, a panel for each kind of figure."""
    panels = {label: [f for f in figures if f in ablation.figures] for label, figures in PANELS.items()}
    panels = {label: figures for label, figures in panels.items() if figures}
    names = ablation.names
    figure = Figure(figsize=(2.2 + 4.4 * max(len(panels), 1), 1.8 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0] if panels else []
    for panel, (label, figures) in zip(axes, panels.items(), strict=True):
        for index, name in enumerate(figures):
            _series(panel, ablation, name, shift=0.22 * (index - (len(figures) - 1) / 2))
        panel.set_xlabel(label)
        panel.grid(axis="x", alpha=0.3)
        for border in range(1, len(names)):
            panel.axhline(border - 0.5, color="0.85", linewidth=0.8)
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(figures), fontsize=8, frameon=False)
    if panels:
        axes[0].set_yticks(range(len(names)), [drawable(name) for name in names], parse_math=False)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
    title = f"Mean ± deviation over seeds, which are the dots: {drawable(ablation.protocol)}"
    # Matplotlib's own wrapping reads formulas whatever it is told.
    figure.suptitle(textwrap.fill(title, int(figure.get_figwidth() / LETTER)), fontsize=9, parse_math=False)
    return figure


def _series(panel, ablation, name, shift):
    color, marker = STYLES[name]
    spreads = [figures[name] for figures in ablation.summary().values()]
    places = [place + shift for place in range(len(spreads))]
    means, deviations = [s.mean for s in spreads], [s.deviation for s in spreads]
    panel.errorbar(
        means,
        places,
        xerr=deviations,
        color=color,
        fmt=marker,
        markersize=8,
        capsize=3,
        elinewidth=1,
        label=FIGURES[name].split(",")[0],
    )
    for place, row in zip(places, ablation.names, strict=True):
        seeds = ablation.of(row, name)
        panel.plot(seeds, [place] * len(seeds), "o", color=color, mec="white", mew=0.8, markersize=5, zorder=3)
