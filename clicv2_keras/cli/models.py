import itertools
import shutil
import textwrap

import click

GAP = 2


@click.command()
def models():
    """List the models: what each is for, how far it agrees with people, its size.

    MODEL of the other commands is one of these names, `default` for the first, a .tflite or .keras file, a run's
    folder, or hf://owner/name[@revision]. What each model was trained on, and its limits, stand in its card,
    saved_models/NAME/MODEL_CARD.md.
    """
    from clicv2_keras.recipe.shapes import ENCODERS
    from clicv2_keras.utils.model_list import list_models

    found = list_models()
    rows = [
        (
            ", ".join((model.name, *model.aliases)),
            _plain(model.purpose),
            _plain(model.agreement),
            f"{model.size / 1e6:.1f}" if model.size else "–",
        )
        for model in found
    ]
    names = max(len(model.name) for model in found) + len(",")
    # The two texts share what is left of the terminal.
    left = max(shutil.get_terminal_size().columns, 80) - names - len("MB") - 3 * GAP - 1
    widths = (names, left - 2 * left // 5, 2 * left // 5, len("MB") + 1)
    _table(("model", "for", "SRCC", "MB"), rows, widths)
    click.echo("\nMB: of its .tflite file, dynamic int8. Encoders of random weights, to train in your own code:\n")
    shapes = [(name, str(shape["depth"]), str(shape["width"])) for name, shape in ENCODERS.items()]
    _table(("encoder", "blocks", "width"), shapes, (names, len("blocks"), len("width")))


def _table(head, rows, widths):
    """Print rows of texts, each wrapped to its column."""
    click.secho(_line(head, widths), bold=True)
    for row in rows:
        wrapped = (textwrap.wrap(text, width) for text, width in zip(row, widths, strict=True))
        for texts in itertools.zip_longest(*wrapped, fillvalue=""):
            click.echo(_line(texts, widths))


def _line(texts, widths):
    return (GAP * " ").join(f"{text:<{width}}" for text, width in zip(texts, widths, strict=True)).rstrip()


def _plain(markdown):
    return markdown.replace("*", "").replace("`", "")
