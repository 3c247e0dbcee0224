"""Options that several commands take."""

import click

device = click.option(
    "--device", metavar="NAME", help="cpu, gpu:0, …: where Keras computes; by default the first GPU, if any."
)
