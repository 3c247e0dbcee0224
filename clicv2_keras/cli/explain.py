import click

from clicv2_keras.cli import options
from clicv2_keras.explanation import METHODS
from clicv2_keras.utils.text import printable


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--model",
    default="default",
    show_default=True,
    help="A preset, a run folder, a .keras or .tflite file, or hf://owner/name.",
)
@click.option(
    "--saliency",
    multiple=True,
    type=click.Choice(list(METHODS)),
    help="Where a change would move the score; may be repeated.",
)
@click.option("--output", default="explanations", show_default=True, help="Folder for the figures and arrays.")
@options.device
@click.pass_context
def explain(context, images, model, saliency, output, device):
    """Show where the complexity of each IMAGE is: files, or folders of them.

    For each image a figure (PNG) with the complexity map over it, and the arrays (NPZ). A .tflite file needs no Keras.
    Saliency does, on TensorFlow, and a model that has gradients, as a .tflite file has not.
    """
    import clicv2_keras

    def report(explanation):
        file = printable(explanation.file)
        if explanation.error:
            click.echo(f"{file}: {printable(explanation.error)}", err=True)
        else:
            click.echo(f"{explanation.score:.3f}  {file}")
        # They are written: of a folder of images they would fill the memory.
        explanation.map, explanation.saliency = None, {}

    explanations = clicv2_keras.explain(images, model, saliency, output, report, device)
    if any(explanation.error for explanation in explanations):
        context.exit(1)
