import click

from clicv2_keras.cli import options


@click.command()
@click.argument("model", default="default")
@click.option(
    "--dataset",
    required=True,
    multiple=True,
    help="ic9600, savoias, nagle or csv (file, score and, if there, category, split); again for another one. Or "
    "procedural: drawn images whose complexity is known, for a label-free score.",
)
@click.option(
    "--root", multiple=True, help="The data set's folder; for csv the table; one a data set. None for procedural."
)
@click.option(
    "--split", "splits", default=("train",), multiple=True, show_default=True, help="Part that is fitted to; again."
)
@click.option(
    "--parts",
    multiple=True,
    type=click.Choice(["token", "deviation", "diversity"]),
    help="What the head reads of each patch; again. By default what MODEL's head reads, if labels fitted it, or all.",
)
@click.option("--output", default="scorer.keras", show_default=True, help="The .keras file to write.")
@click.option(
    "--steadiness",
    default=25.0,
    show_default=True,
    type=options.FiniteRange(0),
    help="How little mirroring, slight crops and resizing shall move a score; 0 fits the labels alone.",
)
@click.option("--whole", is_flag=True, help="Train the whole network, not the linear head alone.")
@click.option(
    "--stem-rate",
    default=0.0,
    show_default=True,
    type=options.FiniteRange(0),
    help="With --whole: rate of a pretrained stem, as a share of the others'; 0 leaves it.",
)
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Of the whole network.")
@click.option(
    "--learning-rate",
    default=5e-5,
    show_default=True,
    type=options.FiniteRange(0, min_open=True),
    help="Of the whole network.",
)
@click.option("--run-dir", help="Run folder of the whole network; NAME_run beside the output NAME.keras.")
@click.option("--resume", is_flag=True, help="Go on with that run from its last checkpoint.")
@click.option("--within-category/--pooled", default=None, help="Whether scores compare only within a category.")
@click.option(
    "--batch-size",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Images computed at a time; of the whole network, those of a step.",
)
@options.device
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of the order of the images."
)
def finetune(root, **arguments):
    """Fit MODEL to labelled images: a scorer whose map averages to its score.

    MODEL is a preset's name, a run folder, a .keras file or hf://owner/name.
    """
    import clicv2_keras

    clicv2_keras.finetune(root=root or None, **arguments)
