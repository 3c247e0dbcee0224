import click


@click.command()
@click.argument("model", default="default")
@click.option(
    "--images",
    multiple=True,
    default=["procedural"],
    show_default=True,
    help="A folder, a list file, or procedural; may be given several times.",
)
@click.option("--output", default="scorer.keras", show_default=True, help="The .keras file to write.")
@click.option("--image-size", type=click.IntRange(1), help="Side in pixels that the result reads; the model's.")
@click.option(
    "--num-images", default=4000, show_default=True, type=click.IntRange(10), help="How many of each are used at most."
)
@click.option("--epochs", default=8, show_default=True, type=click.IntRange(1), help="Passes over the images.")
@click.option("--learning-rate", default=5e-4, show_default=True, help="The highest; it falls to 0 by cosine.")
@click.option("--seed", default=0, show_default=True, help="Of the order of the images.")
def distill(**arguments):
    """Teach MODEL, without labels, what slow programs count in pixels; the result scores by it.

    MODEL is a preset's name, a run folder or a .keras file.
    """
    import clicv2_keras

    clicv2_keras.distill(**arguments)
