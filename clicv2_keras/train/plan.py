"""What a run would do, told without doing it."""

from clicv2_keras.train.cost import count_cost
from clicv2_keras.train.recipe import Recipe
from clicv2_keras.train.recipe_file import load_recipe
from clicv2_keras.train.source import recipe_source


def dry_run(recipe, overrides=()):
    """Check a recipe and its images, and describe the run: shapes, parameters, FLOPs, memory, steps.

    Args:
        recipe, overrides: as for `train`; `data.path` may still be missing.

    Returns:
        Lines of text.

    Raises:
        UserError: as `train` would.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    data, train, contrast = recipe.data, recipe.train, recipe.contrast
    cost = count_cost(recipe)
    shape = recipe.encoder.shape()
    size, batch, patch, width = data.image_size, train.batch_size, shape["patch_size"], shape["width"]
    unnamed = data.source != "procedural" and data.path is None
    images = None if unnamed else len(recipe_source(recipe))

    lines = {
        "recipe": recipe.name,
        "images": "data.path is not set yet" if unnamed else f"{images:,} ({data.source})",
        "batch": f"({batch}, {size}, {size}, 3) uint8, three times: image, view_a, view_b ({data.views})",
        "tokens": f"({batch}, {cost.patches}, {width}), patches of {patch} × {patch} pixels, {shape['depth']} blocks",
    }
    if train.accumulate > 1:
        lines["accumulate"] = micro_batches(recipe)
    if recipe.distribution.strategy != "none":
        lines["devices"] = _shares(recipe)
    if contrast.level != "none":
        tokens = contrast.tokens if contrast.level == "patch" else 1
        lines["contrast"] = f"({batch}, {tokens}, {contrast.projection_dim}) a view, negatives {contrast.negatives}"
    if recipe.entropy.weight:
        lines["entropy"] = f"({batch}, {cost.patches - cost.kept}) of {cost.patches} patches hidden"
    lines["parameters"] = (
        f"encoder {cost.encoder:,}, heads {cost.heads:,}, decoder {cost.decoder:,}; "
        f"trained {cost.trainable:,}; teacher {cost.teacher:,}"
    )
    image = cost.flops_per_image
    per_step, whole = image * batch, image * batch * train.steps
    lines["FLOPs"] = f"{image / 1e9:.3g} G an image, {per_step / 1e12:.3g} T a step, {whole / 1e15:.3g} P in all"
    lines["memory"] = (
        f"about {_gigabytes(cost.state_bytes + cost.activation_bytes)}: weights and optimizer "
        f"{_gigabytes(cost.state_bytes)}, activations {_gigabytes(cost.activation_bytes)} in {train.precision}"
    )
    passes = f", {train.steps * batch / images:.3g} passes" if images else ""
    lines["steps"] = f"{train.steps:,} of {batch} images: {train.steps * batch:,} images{passes}"
    return "\n".join(f"{name:<11} {line}" for name, line in lines.items())


def micro_batches(recipe):
    """One line on what gradient accumulation makes of a batch."""
    train = recipe.train
    size = train.batch_size // train.accumulate
    kind = "negatives and batch statistics" if recipe.contrast.level != "none" else "batch statistics"
    return f"{train.accumulate} micro-batches of {size} images a step; {kind} are those of a micro-batch of {size}"


def _shares(recipe):
    wanted = recipe.distribution
    of = f" of {wanted.processes} processes" if wanted.processes > 1 else ""
    return f"{wanted.devices or 'all'}{of}, each with a share of every batch, and of the activations' memory"


def _gigabytes(count):
    return f"{count / 1e9:.2g} GB"
