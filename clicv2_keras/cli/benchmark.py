import click


@click.command()
@click.argument("model", default="default")
@click.option("--images", metavar="FOLDER", help="Measure on the first of these; by default on drawn ones.")
def benchmark(model, images):
    """Say what scoring costs on this device: time to load, milliseconds an image, images a second, memory.

    MODEL is a .tflite file or a trained preset.
    """
    from clicv2_keras.score import measure

    for line in measure(model, images).lines():
        click.echo(line)
