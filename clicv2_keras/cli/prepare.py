import click


@click.command()
@click.argument("images")
@click.argument("output")
@click.option("--shard-size", default=64.0, show_default=True, type=click.FloatRange(0, min_open=True), help="MB each.")
@click.option("--side", type=click.IntRange(1), help="Shrink images to JPEGs of this shorter side, pixels.")
def prepare(**arguments):
    """Pack IMAGES, a folder or a list file, into shards in the folder OUTPUT.

    Train on them with data.source=records data.path=OUTPUT, also from gs://. Stopped, the same command goes on; on
    finished shards it compares their checksums, and packs again what differs.
    """
    import clicv2_keras

    clicv2_keras.prepare(**arguments)
