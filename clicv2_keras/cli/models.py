import click


@click.command()
def models():
    """List the models: what each is for, how far it agrees with people, its size.

    MODEL of the other commands is one of these names, `default` for the first, a .tflite or .keras file, a run's
    folder, or hf://owner/name[@revision]. What each model was trained on, and its limits, stand in its card,
    saved_models/NAME/MODEL_CARD.md.
    """
    from clicv2_keras.recipe.shapes import ENCODERS
    from clicv2_keras.utils.model_list import list_models

    for model in list_models():
        size = f"{model.size / 1e6:.1f} MB as TFLite" if model.size else "no .tflite file"
        click.secho(", ".join((model.name, *model.aliases)), bold=True)
        click.echo(f"    for    {_plain(model.purpose)}")
        click.echo(f"    SRCC   {_plain(model.agreement)}")
        click.echo(f"    size   {size}")
    click.echo("\nEncoders of random weights, to train in your own code:")
    for name, shape in ENCODERS.items():
        click.echo(f"    {name:<20}{shape['depth']} blocks, {shape['width']} wide")


def _plain(markdown):
    return markdown.replace("*", "").replace("`", "")
