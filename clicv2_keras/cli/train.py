import click


@click.command()
@click.argument("recipe")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value: train.steps=100.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, or start where there is none.")
@click.option(
    "--from",
    "begin",
    metavar="RUN[@STEP]",
    help="Begin from a checkpoint of another run, which is left as it was; by default its newest.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the start, shapes, parameters, FLOPs, memory, steps and time; train nothing."
)
@click.option("--backend", type=click.Choice(["tensorflow", "jax", "torch"]), help="In place of the recipe's.")
def train(recipe, overrides, resume, begin, dry_run, backend):
    """Train a model as RECIPE says: a file, or the name of a shipped recipe such as quickstart."""
    import clicv2_keras

    if backend:
        overrides = (*overrides, f"backend={backend}")
    if dry_run:
        click.echo(clicv2_keras.describe_run(recipe, overrides, resume=resume, begin=begin))
    else:
        clicv2_keras.train(recipe, overrides, resume=resume, begin=begin)
