import click


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", default="default", show_default=True, help="A .tflite file, or a trained preset.")
@click.option("--output", metavar="FILE", help="Write rows to a .csv, .jsonl or .parquet file.")
@click.option("--maps", metavar="FOLDER", help="Write each image under its complexity map there, as PNG.")
@click.option("--workers", type=click.IntRange(1), help="Images in work at a time; one a core by default.")
@click.option("--threads", type=click.IntRange(1), help="For each image; the cores that workers leave by default.")
@click.option("--resume", is_flag=True, help="Go on with the --output of the same PATHs that was stopped.")
@click.option("--force", is_flag=True, help="Begin anew in place of an earlier --output.")
@click.pass_context
def score(context, paths, model, output, maps, workers, threads, resume, force):
    """Score images: files, folders, quoted globs, or - for a list on standard input.

    Prints a table to a terminal, CSV to anything else. Needs neither Keras nor TensorFlow. Exits with 0 where all were
    scored, 1 where some could not be read, 2 where the command is at fault.
    """
    import warnings

    import clicv2_keras
    from clicv2_keras.deployment.scoring.terminal import Progress, print_rows
    from clicv2_keras.utils.errors import UserError

    if not output and (resume or force):
        raise UserError(f"{'--resume' if resume else '--force'}: needs an --output")
    if resume and force:
        raise UserError("--resume: goes on with what --force would replace; give one of them")
    # Of a picture's flaws the rows speak; Pillow's warnings would stand between them.
    warnings.simplefilter("ignore")
    work = {"model": model, "maps": maps, "workers": workers, "threads": threads}
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
