import click


@click.command()
@click.argument("model", default="default")
@click.option("--dataset", required=True, help="ic9600, savoias or csv (file, score and, if there, category, split).")
@click.option("--root", required=True, help="The data set's folder; for csv the table itself.")
@click.option("--test-split", metavar="NAME", help="The part to judge on; by default test, or val where there is none.")
@click.option("--within-category/--pooled", default=None, help="Whether scores compare only within a category.")
@click.option("--baselines/--no-baselines", default=True, help="Measure the untrained encoder and the pixels as well.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(10), help="Of the bootstrap.")
@click.option("--seed", default=0, show_default=True, help="Of folds, bootstrap and the untrained encoder.")
@click.option("--output", metavar="FOLDER", help="Write table.csv, predictions.csv and report.html there.")
def evaluate(output, **arguments):
    """Say how far MODEL agrees with people, beside baselines on the same images and splits.

    MODEL is a preset's name, a run folder or a .keras file.
    """
    from rich.console import Console

    from clicv2_keras.train.backend import choose_backend

    choose_backend()
    from clicv2_keras import evaluate as verb

    evaluation = verb(**arguments)
    evaluation.show(Console(highlight=False, width=None if Console().is_terminal else 140))
    if output:
        evaluation.save(output)
        click.echo(f"{output} holds table.csv, predictions.csv and report.html")
