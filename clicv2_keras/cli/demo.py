import click


@click.command()
@click.option("--model", default="default", show_default=True, help="A preset, or a .tflite file.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes one that is free.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page.")
def demo(model, port, browser):
    """Try a model on your pictures in the browser: a page on this machine alone, nothing is uploaded."""
    import clicv2_keras

    clicv2_keras.demo(model, port, browser, on_start=lambda url: click.echo(f"{url}   Ctrl-C ends it"))
