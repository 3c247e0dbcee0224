import click

from clicv2_keras.cli import options


@click.command()
@click.argument("images")
@click.argument("output")
@click.option(
    "--shard-size", default=64.0, show_default=True, type=options.FiniteRange(0, min_open=True), help="MB each."
)
@click.option("--side", type=click.IntRange(1), help="Shrink images to JPEGs of this shorter side, pixels.")
@click.option("--teacher", help="Pack what this network sees: keras_hub:PRESET, a .keras file, a SavedModel …")
@click.option("--views", default=4, show_default=True, type=click.IntRange(1), help="Of each image, for the teacher.")
@click.option("--image-size", default=192, show_default=True, type=click.IntRange(1), help="Side of a view, pixels.")
@click.option("--patch-size", default=16, show_default=True, type=click.IntRange(1), help="Of the encoder, pixels.")
@click.option(
    "--min-area",
    default=0.2,
    show_default=True,
    type=options.FiniteRange(0, 1, min_open=True),
    help="Smallest area of a view, as a share of the image.",
)
def prepare(**arguments):
    """Pack IMAGES, a folder or a list file, into shards in the folder OUTPUT.

    Train on them with data.source=records data.path=OUTPUT, also from gs://. Stopped, the same command goes on; on
    finished shards it compares their checksums, and packs again what differs.

    With --teacher, train with guide.teacher=packed: the network is asked once a view, not in every step. More --views
    later add to those that are there.
    """
    import clicv2_keras

    clicv2_keras.prepare(**arguments)
