import click


@click.command()
@click.option("--model", default="default", show_default=True, help="A preset, or a .tflite file.")
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
def demo(**arguments):
    """Try a model on your pictures in the browser: a page on this machine alone, nothing is uploaded."""
    import clicv2_keras

    clicv2_keras.demo(**arguments, on_start=lambda url: click.echo(f"{url}   Ctrl-C ends it"))
