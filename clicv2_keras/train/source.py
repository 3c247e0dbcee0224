"""The images that a recipe names."""

from clicv2_keras.data.sources import open_source
from clicv2_keras.errors import UserError


def recipe_source(recipe):
    """Open the recipe's images.

    Raises:
        UserError: where the path is missing, or nothing is there.
    """
    data = recipe.data
    if data.source != "procedural" and data.path is None:
        raise UserError(f"{recipe.name}: data.path: the images are yours to name; add --set data.path=PATH")
    try:
        return open_source(
            data.source, path=data.path, num_images=data.num_images, image_size=data.image_size, seed=recipe.seed
        )
    except UserError as error:
        raise UserError(f"{recipe.name}: data.path: {error}") from None


def probe_source(recipe):
    """The labelled images of the recipe's probe and the part to judge on, see `choose_by`; None where there is none.

    Raises:
        UserError: where they cannot be read, or cannot be judged by.
    """
    if recipe.probe.dataset is None:
        return None
    from clicv2_keras.data.scored_sets import open_scored
    from clicv2_keras.train.choose_by import choose_by

    probe = recipe.probe
    try:
        return choose_by(open_scored(probe.dataset, probe.root, probe.within_category), probe.split)
    except UserError as error:
        raise UserError(f"{recipe.name}: probe: {error}") from None
