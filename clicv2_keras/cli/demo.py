import click
from click.core import ParameterSource

from clicv2_keras.utils.errors import UserError


@click.command()
@click.option("--model", default="default", show_default=True, help="A preset, a .tflite file, or hf://owner/name.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes one that is free.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 in a container.")
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A name by which browsers may call it, such as a tunnel's; again for another. Addresses and localhost may.",
)
@click.option("--static", metavar="DIR", help="Serve nothing: write the page to a folder that any web host can serve.")
@click.pass_context
def demo(context, static, **arguments):
    """Try a model on your pictures in the browser: a page on this machine alone, nothing is uploaded."""
    import clicv2_keras

    if static is not None:
        _refuse_all_but_the_model(context)
        from clicv2_keras.deployment.demo.files import write_demo

        folder = write_demo(static, arguments["model"])
        click.echo(f"{click.format_filename(folder)}: to be served by any web host; see it with python -m http.server")
        return
    clicv2_keras.demo(**arguments, on_start=lambda url: click.echo(f"{url}   Ctrl-C ends it"))


def _refuse_all_but_the_model(context):
    for option in context.command.params:
        given = context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
        if given and option.name not in ("static", "model"):
            raise UserError(f"{option.opts[0]}: means nothing beside --static, which serves nothing; leave it out")
