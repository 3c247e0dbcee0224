from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console

# Column of a figure: what it is. The first is what rows are compared by.
FIGURES = {
    "ridge_srcc": "ridge, SRCC",
    "ridge_pcc": "ridge, PCC",
    "ridge_mean_srcc": "ridge on mean token, SRCC",
    "ridge_mean_pcc": "ridge on mean token, PCC",
    "label_free_srcc": "label-free, SRCC",
    "label_free_pcc": "label-free, PCC",
    "category_accuracy": "category named by a probe",
    "token_retrieval": "token finds its image",
}


class Spread(NamedTuple):
    """Mean and sample deviation (n - 1) over `n` seeds; the deviation of one is NaN."""

    mean: float
    deviation: float
    n: int

    def __str__(self):
        if self.mean != self.mean:
            return "–"
        return f"{self.mean:.3f} ± {self.deviation:.3f}" if self.n > 1 else f"{self.mean:.3f}"


@dataclass
class Ablation:
    """What `ablate` found.

    Args:
        rows: a dict a run: `row`, `seed`, the recipe keys that rows differ in, `steps`, `images` (seen), the columns of
            `FIGURES` that apply (correlations -1 to 1, shares 0 to 1), `seconds` of the call that ended the run, and
            `error`, "" but where it diverged: then it has no figures.
        protocol: a sentence on what the figures are of.
        notes: lines for the user.
    """

    rows: list[dict]
    protocol: str
    notes: list[str]

    @property
    def figures(self) -> list[str]:
        """The columns of `FIGURES` that a run has."""
        return [name for name in FIGURES if any(name in row for row in self.rows)]

    @property
    def names(self) -> list[str]:
        """The rows' names, in order."""
        return list(dict.fromkeys(row["row"] for row in self.rows))

    def of(self, name: str, figure: str) -> np.ndarray:
        """A figure of a row, a number a seed that ended: float (n,)."""
        return np.array([row[figure] for row in self.rows if row["row"] == name and figure in row], "float64")

    def summary(self) -> dict[str, dict[str, Spread]]:
        """`{row: {figure: Spread}}` over the seeds."""
        return {name: {figure: _spread(self.of(name, figure)) for figure in self.figures} for name in self.names}

    def show(self, console: "Console") -> None:
        """Print the table to a `rich.console.Console`."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("row", "seeds", title="Ablation: mean ± deviation over the seeds", title_justify="left")
        for figure in self.figures:
            table.add_column(FIGURES[figure], justify="right")
        for name, spreads in self.summary().items():
            seeds = sum(row["row"] == name and not row["error"] for row in self.rows)
            table.add_row(escape(name), str(seeds), *map(str, spreads.values()))
        console.print(table)
        diverged = [f"{row['row']}, seed {row['seed']}: {row['error']}" for row in self.rows if row["error"]]
        for line in (self.protocol, *self.notes, *diverged):
            console.print(line, markup=False)


def _spread(values):
    if not len(values):
        return Spread(np.nan, np.nan, 0)
    return Spread(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else np.nan, len(values))
