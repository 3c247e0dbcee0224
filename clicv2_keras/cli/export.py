import click


@click.command()
@click.argument("model", default="default")
@click.option("--format", type=click.Choice(["saved_model", "tflite"]), default="tflite", show_default=True)
@click.option(
    "--quantize",
    type=click.Choice(["none", "float16", "dynamic", "int8"]),
    default="none",
    show_default=True,
    help="Of TFLite; int8 is calibrated on --images, 300 or more.",
)
@click.option("--output", metavar="PATH", help="By default NAME.tflite or NAME_saved_model.")
@click.option("--images", metavar="FOLDER", help="200 images or more to compare on; procedural ones by default.")
@click.option("--push", metavar="ADDRESS", help="Also write it, the Keras model and the card to hf://owner/name.")
def export(**arguments):
    """Export MODEL for devices and servers, and compare it with the Keras model.

    MODEL is a preset's name, a run folder, a .keras file or hf://owner/name, of any backend.
    """
    import clicv2_keras
    from clicv2_keras.utils.backend import choose_backend

    choose_backend("tensorflow")

    path, parity = clicv2_keras.export(**arguments)
    for what, value in parity.rows():
        click.echo(f"{what:<28}{value}")
    click.echo(f"{path}: agrees with the Keras model")
    if arguments["push"]:
        click.echo(f"{arguments['push']}: holds it, for every command's MODEL")
