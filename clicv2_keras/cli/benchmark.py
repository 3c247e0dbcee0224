import click


@click.command()
@click.argument("model", default="default")
@click.option("--images", metavar="FOLDER", help="Measure on the first of these; by default on drawn ones.")
def benchmark(model, images):
    """Say what scoring costs on this device: time to load, milliseconds an image, images a second, memory.

    MODEL is a .tflite file, a trained preset or hf://owner/name.
    """
    import clicv2_keras

    for line in clicv2_keras.benchmark(model, images).lines():
        click.echo(line)
