import click


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", default="default", show_default=True, help="A .tflite file, or a trained preset.")
@click.option("--output", metavar="FILE", help="Write rows to a .csv, .jsonl or .parquet file; of Ray to a folder.")
@click.option("--maps", metavar="FOLDER", help="Write each image under its complexity map there, as PNG.")
@click.option("--tile", type=click.IntRange(1), help="Score tiles of this many pixels a side, a row each.")
@click.option("--stride", type=click.IntRange(1), help="Pixels from tile to tile; those of a tile by default.")
@click.option("--workers", type=click.IntRange(1), help="Images in work at a time; one a core by default.")
@click.option("--threads", type=click.IntRange(1), help="For each image; the cores that workers leave by default.")
@click.option("--resume", is_flag=True, help="Go on with the --output of the same PATHs that was stopped.")
@click.option("--force", is_flag=True, help="Begin anew in place of an earlier --output.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Ray: docs/corpus.md.")
@click.option("--ray-address", metavar="ADDRESS", help="Of the cluster; else RAY_ADDRESS, else a new one here.")
@click.option("--column", help="Of Parquet inputs of Ray: the pictures' bytes or paths; found by its name by default.")
@click.option("--price", type=click.FloatRange(0), help="Of a core for an hour: Ray's summary then says the cost.")
@click.pass_context
def score(
    context, paths, model, output, maps, workers, threads, resume, force, tile, stride, engine, ray_address, **corpus
):
    """Score images: files, folders, quoted globs, or - for a list on standard input.

    Prints a table to a terminal, CSV to anything else. Needs neither Keras nor TensorFlow. Exits with 0 where all were
    scored, 1 where some could not be read, 2 where the command is at fault.

    With --engine ray on all cores of a cluster, to a folder of Parquet; PATHs may be tar shards, Parquet files with a
    column of bytes or paths, and URLs of object stores.
    """
    import warnings

    import clicv2_keras
    from clicv2_keras.deployment.scoring.terminal import Progress, print_rows
    from clicv2_keras.utils.errors import UserError

    if not output and (resume or force):
        raise UserError(f"{'--resume' if resume else '--force'}: needs an --output")
    if resume and force:
        raise UserError("--resume: goes on with what --force would replace; give one of them")
    if engine == "ray":
        for option, given in {"--maps": maps, "--threads": threads}.items():
            if given:
                raise UserError(f"{option}: is of the local engine; leave it out with --engine ray")
        options = {"model": model, "workers": workers, "tile": tile, "stride": stride, "address": ray_address}
        _score_on_ray(context, paths, output, **options, resume=resume, force=force, **corpus)
        return
    for option, value in {"ray_address": ray_address, **corpus}.items():
        if value is not None:
            raise UserError(f"--{option.replace('_', '-')}: is of --engine ray; give that as well")
    # Of a picture's flaws the rows speak; Pillow's warnings would stand between them.
    warnings.simplefilter("ignore")
    work = {"model": model, "maps": maps, "workers": workers, "threads": threads, "tile": tile, "stride": stride}
    try:
        if output:
            with Progress(paths, maps, click.get_text_stream("stderr")) as progress:
                counts = clicv2_keras.score_to_file(paths, output, **work, resume=resume, report=progress, force=force)
            click.echo(f"{counts.scored:,} scored, {counts.failed:,} failed: {click.format_filename(output)}", err=True)
        else:
            counts = print_rows(clicv2_keras.score(paths, **work), paths, maps)
    except KeyboardInterrupt:
        more = "; the same command with --resume goes on" if output else ""
        click.echo(f"stopped{more}", err=True)
        context.exit(130)
    if counts.failed:
        context.exit(1)


def _score_on_ray(context, inputs, output, **options):
    import importlib.util

    from clicv2_keras.utils.errors import UserError

    if not output:
        raise UserError("--engine ray: needs an --output, a folder or its URL")
    for needed in ("ray", "pyarrow", "fsspec"):
        if importlib.util.find_spec(needed) is None:
            raise UserError(f"--engine ray: needs {needed}; pip install 'clicv2-keras[ray]'")
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
