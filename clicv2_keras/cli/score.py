import itertools

import click


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", default="default", show_default=True, help="A .tflite file, or a trained preset.")
@click.option("--output", metavar="FILE", help="Write rows to a .csv, .jsonl or .parquet file.")
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
@click.option("--workers", type=click.IntRange(1), help="Images in work at a time; one a core by default.")
@click.option("--threads", type=click.IntRange(1), help="For each image; the cores that workers leave by default.")
@click.option("--resume", is_flag=True, help="Go on with the --output of the same PATHs that was stopped.")
@click.option("--force", is_flag=True, help="Begin anew in place of an earlier --output.")
@click.pass_context
def score(context, paths, output, form, percentile, embeddings, null, resume, force, **work):
    """Score images: files, folders, quoted globs, URLs, or - for a list on standard input.

    Prints a table to a terminal, CSV to anything else. Needs neither Keras nor TensorFlow. Exits with 0 where all were
    scored, 1 where some could not be read, 2 where the command is at fault.
    """
    import warnings

    import clicv2_keras
    from clicv2_keras.deployment.scoring.percentiles import Percentiles
    from clicv2_keras.deployment.scoring.terminal import Progress, print_rows
    from clicv2_keras.utils.errors import UserError
    from clicv2_keras.utils.find_images import names_ended_by_null

    for option, given in {"--resume": resume, "--force": force, "--embeddings": embeddings}.items():
        if given and not output:
            raise UserError(f"{option}: needs an --output")
    if resume and force:
        raise UserError("--resume: goes on with what --force would replace; give one of them")
    if form and output:
        raise UserError("--format: is of standard output; that of --output its name's ending says")
    if null and "-" not in paths:
        raise UserError("--null: is of a list on standard input; give - among the PATHs")
    # Of a picture's flaws the rows speak; Pillow's warnings would stand between them.
    warnings.simplefilter("ignore")
    named, maps = paths, work["maps"]
    if null:
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
