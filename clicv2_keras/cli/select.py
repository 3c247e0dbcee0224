import click

from clicv2_keras.cli import options


@click.command()
@click.argument("scores")
@click.option("--min", "least", type=options.FiniteRange(0, 1), help="The score that is kept at least.")
@click.option("--max", "most", type=options.FiniteRange(0, 1), help="The score that is kept at most.")
@click.option(
    "--top-share", type=options.FiniteRange(0, 1, min_open=True), help="Keep this share of all, the most complex."
)
@click.option("--output", metavar="FILE", help="Write the names of what is kept, one a line.")
@click.option("--null", is_flag=True, help="End each of these names by a null byte, as score - --null reads them.")
@click.option("--shards", metavar="FOLDER", help="Write what is kept, tiles cut out, into tar shards of 1,000.")
@click.pass_context
def select(context, scores, least, most, top_share, output, null, shards):
    """Keep some of what was scored: SCORES is a file of clicv2-keras score, or the folder of one by Ray.

    Prints how scores are spread and what is kept of them. Where several limits are given, all hold.
    """
    from clicv2_keras.deployment.scoring.selection import Selection, check_shards
    from clicv2_keras.utils.errors import UserError
    from clicv2_keras.utils.paths import check_writable, user_path
    from clicv2_keras.utils.text import printable

    if least is not None and most is not None and least > most:
        raise UserError(f"--min {least}: is above --max {most}: nothing would be kept")
    if null and not output:
        raise UserError("--null: is of the list of names; name its file with --output")
    if output:
        check_writable(output)
        path = user_path(output)
        if path.is_dir():
            raise UserError(f"--output {output}: is a folder; name a file")
        if path.is_symlink() or (path.exists() and not (path.is_file() and path.stat().st_size == 0)):
            raise UserError(f"--output {output}: exists; name another, or remove it")
    if shards:
        check_shards(shards)
        if output and user_path(shards).resolve() in path.resolve().parents:
            raise UserError(f"--output {output}: lies in --shards {shards}, which takes shards alone; name another")
    selection = Selection(scores, least, most, top_share)
    for line in selection.histogram():
        click.echo(line)
    total = int(selection.counts.sum())
    click.echo(f"{selection.kept:,} of {total:,} are kept; {selection.failed:,} have no score")
    if output:
        selection.write_list(output, null)
    if shards:
        written, lost = selection.write_shards(shards)
        click.echo(f"{written:,} in {click.format_filename(shards)}", err=True)
        for name in lost[:10]:
            click.echo(printable(name), err=True)
        if lost:
            click.echo(f"{len(lost):,} could not be read", err=True)
            context.exit(1)
