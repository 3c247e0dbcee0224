import click
from click.core import ParameterSource

from clicv2_keras.cli import options
from clicv2_keras.evaluation.output_folder import REPORT, TOP1, check_output
from clicv2_keras.utils.errors import UserError


@click.command()
@click.argument("model", default="default")
@click.option(
    "--dataset",
    required=True,
    help="ic9600, savoias, nagle, csv (file, score; also category, split), or imagenet (one folder per class: top-1).",
)
@click.option("--root", required=True, help="The data set's folder; for csv the table itself.")
@click.option("--per-class", type=click.IntRange(2), help="For imagenet: at most this many images per class and part.")
@click.option("--test-split", metavar="NAME", help="The part to judge on; by default test, or val where there is none.")
@click.option("--within-category/--pooled", default=None, help="Whether scores can be compared only within a category.")
@click.option(
    "--baselines/--no-baselines",
    default=True,
    help="Compare with the untrained encoder and with pixels alone.",
)
@click.option(
    "--resamples", default=1000, show_default=True, type=click.IntRange(0), help="Of the bootstrap; 0 for none."
)
@click.option("--seed", default=0, show_default=True, help="Of folds and bootstrap; the first of the untrained.")
@click.option(
    "--untrained-seeds",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="How many random initialisations the untrained rows are the mean of.",
)
@click.option(
    "--against",
    metavar="B",
    help="Also the paired difference to B: a model, a measure such as jpeg_q75, or a .csv of scores by any tool.",
)
@click.option(
    "--batch-size",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Images that the model sees at a time; fewer take less memory.",
)
@options.device
@click.option(
    "--output", metavar="FOLDER", help="Write table.csv, predictions.csv and report.html there; of imagenet top1.csv."
)
@click.pass_context
def evaluate(context, output, per_class, **arguments):
    """Say how far MODEL agrees with people, beside baselines on the same images and splits.

    MODEL is a preset's name, a run folder, a .keras file, hf://owner/name, or a .tflite file, whose score is judged as
    it is computed on devices.
    """
    _check_options(context)
    top1 = arguments["dataset"] == "imagenet"
    if output:
        check_output(output, TOP1 if top1 else REPORT, kept=(arguments["root"], arguments["against"]))
    from rich.console import Console

    import clicv2_keras

    if top1:
        shared = ("model", "root", "seed", "untrained_seeds", "batch_size", "device")
        found = clicv2_keras.top1(per_class=per_class, **{name: arguments[name] for name in shared})
        click.echo(f"top-1  model {found.model:.3f}  untrained {found.untrained:.3f}  chance {found.chance:.3f}")
        click.echo("\n".join(found.notes))
        if output:
            found.save(output)
            click.echo(f"{output} holds top1.csv")
        return
    evaluation = clicv2_keras.evaluate(**arguments)
    evaluation.show(Console(highlight=False, width=None if Console().is_terminal else 140))
    if output:
        evaluation.save(output)
        click.echo(f"{output} holds table.csv, predictions.csv and report.html")


def _check_options(context):
    """Refuse what has no meaning for the data set or beside another option, rather than to leave it out in silence."""
    dataset = context.params["dataset"]
    if dataset == "imagenet":
        why = f"for --dataset {dataset}: top-1 is fitted on train and judged on val, beside the untrained encoder"
        refused = dict.fromkeys(("test_split", "within_category", "baselines", "resamples", "against"), why)
    else:
        refused = {"per_class": f"for --dataset {dataset}: is for imagenet"}
        if not context.params["baselines"]:
            refused["untrained_seeds"] = "with --no-baselines, which leaves the untrained encoder out"
    for option in context.command.params:
        if option.name in refused and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise UserError(f"{option.opts[0]}: means nothing {refused[option.name]}")
