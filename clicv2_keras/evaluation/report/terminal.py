"""An `Evaluation` as tables in a terminal."""

from rich.markup import escape
from rich.table import Table

from clicv2_keras.evaluation.report.names import GROUP_NAMES, content_name, label, name
from clicv2_keras.evaluation.statistics import METRICS


def show(evaluation, console):
    """Print the tables of an `Evaluation` to a `rich.console.Console`, and the lines below them."""
    headline = "all images" if evaluation.judge.pooled else "mean of categories"
    intervals = ", 95 % bootstrap intervals" if evaluation.judge.resamples else ""
    title = f"{escape(evaluation.data.name)}: agreement with people, {headline}{intervals}"
    table = Table("predictor", *METRICS, title=title, title_justify="left")
    group = None
    for agreement in evaluation.agreements:
        if agreement.group != group:
            group = agreement.group
            table.add_section()
            table.add_row(f"[bold]{GROUP_NAMES[group]}")
        table.add_row(f"  {label(agreement)}", *(_cell(agreement.headline.get(m)) for m in METRICS))
    console.print(table)
    main = evaluation.main
    if main:
        table = Table("part", *METRICS, title=f"{label(main)}, by category", title_justify="left")
        for part, row in main.rows.items():
            table.add_row(escape(part), *(_cell(row.get(m)) for m in METRICS))
        console.print(table)
    differences = evaluation.differences
    if differences:
        title = f"How much higher the SRCC of “{label(main)}” is, on the same images and resamples"
        table = Table("than", "difference", title=title, title_justify="left")
        for agreement, figure in differences:
            table.add_row(f"{name(agreement)} ({GROUP_NAMES[agreement.group]})", _cell(figure, sign="+"))
        console.print(table)
    if evaluation.against and evaluation.against.mine.images.any():
        mine, other = evaluation.against
        title = f"Against “{escape(name(other))}”, on the {mine.images.sum()} images that both are judged on"
        table = Table("", *METRICS, title=title, title_justify="left")
        for agreement in (mine, other):
            table.add_row(escape(name(agreement)), *(_cell(agreement.headline.get(m)) for m in METRICS))
        table.add_section()
        difference = {"SRCC": evaluation.against.difference}
        table.add_row("paired difference", *(_cell(difference.get(m), sign="+") for m in METRICS))
        console.print(table)
    if evaluation.content:
        title = "Content in the features: how often"
        table = Table("", "model", "untrained", "chance", title=title, title_justify="left")
        for content in evaluation.content:
            shares = content.model, content.untrained, content.chance
            table.add_row(content_name(content), *("–" if share is None else f"{share:.3f}" for share in shares))
        console.print(table)
    for line in (evaluation.protocol, *evaluation.notes):
        console.print(line, markup=False)


def _cell(figure, sign=""):
    if figure is None or figure.value != figure.value:
        return "–"
    if figure.low != figure.low:
        return f"{figure.value:{sign}.3f}"
    return f"{figure.value:{sign}.3f} [{figure.low:{sign}.2f}, {figure.high:{sign}.2f}]"
