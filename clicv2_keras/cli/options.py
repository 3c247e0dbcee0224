"""Options that several commands take, and what numbers they may be."""

import math

import click

device = click.option(
    "--device", metavar="NAME", help="cpu, gpu:0, …: where Keras computes; by default the first GPU, if any."
)


class FiniteRange(click.FloatRange):
    """A `FloatRange` without NaN, which is on no side of a limit, and without infinity, as in a recipe."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number
