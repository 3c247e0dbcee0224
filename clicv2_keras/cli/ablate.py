import click


@click.command()
@click.argument("recipe")
@click.option("--rows", metavar="NAMES", help="table, levers, or rows of these: clicv2,mem.")
@click.option(
    "--vary", metavar="KEY=A,B,...", multiple=True, help="A row a value: contrast.negatives=same_position,all."
)
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value in all rows.")
@click.option("--seeds", default=3, show_default=True, help="How many, from the recipe's seed upwards.")
@click.option("--dataset", help="ic9600, savoias, nagle or csv, as for evaluate; without, procedural images judge.")
@click.option("--root", help="The data set's folder; for csv the table itself.")
@click.option("--test-split", metavar="NAME", help="The part to judge on; by default test, or val where there is none.")
@click.option("--within-category/--pooled", default=None, help="Whether scores compare only within a category.")
@click.option("--output", metavar="FOLDER", help="For the results; runs/ablate_NAME by default.")
@click.option("--dry-run", is_flag=True, help="Print the rows, where they differ, and the cost; train nothing.")
def ablate(dry_run, **arguments):
    """Train variants of RECIPE over several seeds, and compare what their features are worth.

    Writes ablation.csv, a line a run, and ablation.png. The same command goes on where it was stopped.
    """
    import clicv2_keras

    if dry_run:
        click.echo(clicv2_keras.describe_ablation(**arguments))
        return
    from rich.console import Console

    clicv2_keras.ablate(**arguments).show(Console(highlight=False, width=None if Console().is_terminal else 160))
