import click


@click.command()
@click.argument("name", required=False)
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value: train.steps=100.")
def recipe(name, overrides):
    """Print what a recipe can say, or the complete recipe NAME."""
    from clicv2_keras.recipe.text import describe_schema, recipe_yaml

    if name is None:
        if overrides:
            raise click.UsageError("--set needs a recipe's NAME to replace a value of")
        click.echo(describe_schema())
    else:
        from clicv2_keras.recipe.files import load_recipe

        click.echo(recipe_yaml(load_recipe(name, overrides)), nl=False)
