import itertools

import click

from clicv2_keras.cli import options


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", default="default", show_default=True, help="A .tflite file, a preset, or hf://owner/name.")
@click.option("--output", metavar="FILE", help="Write rows to a .csv, .jsonl or .parquet file; of Ray to a folder.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), help="Of standard output; by default a table or CSV."
)
@click.option("--maps", metavar="FOLDER", help="Write each image under its complexity map there, as PNG.")
@click.option("--percentile", is_flag=True, help="Say how many of a set of everyday photographs are less complex.")
@click.option(
    "--embeddings", is_flag=True, help="Also write what the model sees: in the .parquet, or in a .npz beside --output."
)
@click.option("--null", is_flag=True, help="Names on standard input end in a null byte, as of find -print0.")
@click.option("--allow-private-urls", "allow_private", is_flag=True, help="Fetch URLs from inner networks as well.")
@click.option("--tile", type=click.IntRange(1), help="Score tiles of this many pixels a side, a row each.")
@click.option("--stride", type=click.IntRange(1), help="Pixels from tile to tile; those of a tile by default.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Images in work at a time; one a core by default.")
@click.option("--threads", type=click.IntRange(1, 256), help="For each image; the cores that workers leave by default.")
@click.option("--resume", is_flag=True, help="Go on with the --output of the same PATHs that was stopped.")
@click.option("--force", is_flag=True, help="Begin anew in place of an earlier --output.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Ray: docs/corpus.md.")
@click.option("--ray-address", metavar="ADDRESS", help="Of the cluster; else RAY_ADDRESS, else a new one here.")
@click.option("--column", help="Of Parquet inputs of Ray: the pictures' bytes or paths; found by its name by default.")
@click.option("--price", type=options.FiniteRange(0), help="Of a core for an hour: Ray's summary then says the cost.")
@click.pass_context
def score(context, paths, output, form, percentile, embeddings, null, resume, force, engine, **work):
    """Score images: files, folders, quoted globs, URLs, or - for a list on standard input.

    Prints a table to a terminal, CSV to anything else. Needs neither Keras nor TensorFlow. Exits with 0 where all were
    scored, 1 where some could not be read, 2 where the command is at fault.

    With --engine ray on all cores of a cluster, to a folder of Parquet; PATHs may be tar shards, Parquet files with a
    column of bytes or paths, and URLs of object stores.
    """
    import warnings

    import clicv2_keras
    from clicv2_keras.deployment.scoring.percentiles import Percentiles
    from clicv2_keras.deployment.scoring.run import check_maps
    from clicv2_keras.deployment.scoring.terminal import Progress, print_rows
    from clicv2_keras.utils.errors import UserError
    from clicv2_keras.utils.find_images import names_ended_by_null

    for option, given in {"--resume": resume, "--force": force, "--embeddings": embeddings}.items():
        if given and not output:
            raise UserError(f"{option}: needs an --output")
    corpus = {name: work.pop(name) for name in ("ray_address", "column", "price")}
    if engine == "ray":
        local = {"maps": work.pop("maps"), "threads": work.pop("threads"), "percentile": percentile}
        local |= {"format": form, "null": null, "allow_private_urls": work.pop("allow_private")}
        for option, given in local.items():
            if given:
                raise UserError(f"--{option.replace('_', '-')}: is of the local engine; leave it out with --engine ray")
        more = {"resume": resume, "force": force, "embeddings": embeddings}
        _score_on_ray(context, paths, output, address=corpus.pop("ray_address"), **work, **corpus, **more)
        return
    for option, value in corpus.items():
        if value is not None:
            raise UserError(f"--{option.replace('_', '-')}: is of --engine ray; give that as well")
    if form and output:
        raise UserError("--format: is of standard output; that of --output its name's ending says")
    if null and "-" not in paths:
        raise UserError("--null: is of a list on standard input; give - among the PATHs")
    # Of a picture's flaws the rows speak; Pillow's warnings would stand between them.
    warnings.simplefilter("ignore")
    named, maps = paths, work["maps"]
    if null:
        if maps is not None:
            # What is named beside the list would be read with it.
            check_maps(maps, paths)
        listed = names_ended_by_null(click.get_binary_stream("stdin"))
        named = itertools.chain.from_iterable(listed if path == "-" else [path] for path in paths)
    try:
        if output:
            more = {"resume": resume, "force": force, "embeddings": embeddings, "percentile": percentile}
            with Progress(paths, maps, click.get_text_stream("stderr")) as progress:
                counts = clicv2_keras.score_to_file(named, output, **work, **more, report=progress)
            click.echo(f"{counts.scored:,} scored, {counts.failed:,} failed: {click.format_filename(output)}", err=True)
        else:
            percentiles = Percentiles(clicv2_keras.Scorer(work["model"]).metadata) if percentile else None
            counts = print_rows(clicv2_keras.score(named, **work), paths, maps, form, percentiles)
    except KeyboardInterrupt:
        more = "; the same command with --resume goes on" if output else ""
        click.echo(f"stopped{more}", err=True)
        context.exit(130)
    if counts.failed:
        context.exit(1)


def _score_on_ray(context, inputs, output, **options):
    import importlib.util

    from clicv2_keras.utils.errors import UserError, install_hint

    if not output:
        raise UserError("--engine ray: needs an --output, a folder or its URL")
    for needed in ("ray", "pyarrow", "fsspec"):
        if importlib.util.find_spec(needed) is None:
            raise UserError(f"--engine ray: needs {needed}; {install_hint('ray')}")
    from clicv2_keras.deployment.scoring.ray import score_corpus
    from clicv2_keras.deployment.scoring.terminal import CorpusProgress

    try:
        with CorpusProgress(click.get_text_stream("stderr")) as progress:
            summary = score_corpus(inputs, output, **options, report=progress)
    except KeyboardInterrupt:
        click.echo("stopped; the same command with --resume goes on", err=True)
        context.exit(130)
    for line in summary.lines():
        click.echo(line, err=True)
    if summary.failed:
        context.exit(1)
