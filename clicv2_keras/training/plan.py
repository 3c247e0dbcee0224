"""What a run would do, told without doing it."""

from collections.abc import Sequence

from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.recipe.shapes import PIXEL_TARGETS, PIXELS, kept_patches, mask_ratios, view_patches
from clicv2_keras.training.callbacks.wandb_log import check_wandb
from clicv2_keras.training.checkpoints import step_of
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.training.run_inputs import check_inputs, run_inputs
from clicv2_keras.training.source import label_sets, packed_targets, probe_sets, recipe_source
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.paths import StrPath

# The share of the rate of its matrix products that a whole step reaches. Of the quickstart's, compiled by TensorFlow in
# float32 on two cores that others used as well, measured in turns with that rate: .49, .78 and, at a load of 10, .66 to
# 1.20 (median .92 of 6): .65 is within a factor of 2 of all. JAX: .36. PyTorch, which suffers most from others: .25.
# Nobody has asked a GPU yet.
EFFICIENCY = 0.65


def describe_run(
    recipe: Recipe | StrPath,
    overrides: Sequence[str] = (),
    resume: bool = False,
    begin: StrPath | None = None,
) -> str:
    """Check a recipe, its images and its folder, and describe the run: shapes, parameters, FLOPs, memory, steps, time.

    The time is that of the counted FLOPs at `EFFICIENCY` times the rate of matrix products, measured for half a second
    on one device of the recipe's backend: what else the device does meanwhile is in it.

    Args:
        recipe, overrides: as for `train`; `data.path` may still be missing.
        resume, begin: as for `train`; steps, FLOPs and time are then those that are left. Whether the checkpoint is of
            this model shows only once the model is built, by `train`.

    Returns:
        Lines of text.

    Raises:
        UserError: as `train` would, but for what shows once it begins: images read, devices asked, its folder taken.
    """
    recipe = load_recipe(recipe, overrides)
    data, train, contrast = recipe.data, recipe.train, recipe.contrast
    labels = label_sets(recipe)
    cost, shaped = recipe_cost(recipe, labels)
    shape = shaped.encoder.shape()
    size, batch, patch, width = data.image_size, train.batch_size, shape["patch_size"], shape["width"]
    unnamed = recipe.reads_images and data.source != "procedural" and data.path is None
    source = None
    if not unnamed:
        source = recipe_source(recipe) if recipe.reads_images else labels.images.source
    images = None if source is None else len(source)
    probe_sets(recipe, labels)
    packed = packed_targets(shaped)
    folder = RunFolder(recipe)
    begin = folder.find_begin(begin, resume)
    check_wandb(recipe)
    start, whence = _start(folder, resume, begin)
    left = train.steps - start
    others = check_inputs(folder, run_inputs(source, labels)) if resume and folder.is_begun and not unnamed else None

    lines = {
        "recipe": recipe.name,
        "images": "data.path is not set yet"
        if unnamed
        else f"{images:,} ({data.source if recipe.reads_images else 'with labels'})",
        "batch": f"({batch}, {size}, {size}, 3) uint8"
        + (f", three times: image, view_a, view_b ({data.views})" if contrast.level != "none" else ""),
        "tokens": f"({batch}, {cost.patches}, {width}), patches of {patch} × {patch} pixels, {shape['depth']} blocks",
    }
    if others:
        lines["images"] += f"; {others}"
    if train.accumulate > 1:
        lines["accumulate"] = micro_batches(recipe)
    if recipe.distribution.strategy != "none":
        lines["devices"] = _shares(recipe)
    if contrast.level != "none":
        tokens = contrast.tokens if contrast.level == "patch" else 1
        lines["contrast"] = f"({batch}, {tokens}, {contrast.projection_dim}) a view, negatives {contrast.negatives}"
        if contrast.keep_ratio < 1:
            seen = view_patches(cost.patches, contrast.keep_ratio)
            lines["contrast"] += f", {seen} of {cost.patches} patches seen"
        if contrast.copies:
            lines["contrast"] += f", beside copies: {', '.join(contrast.copies)}"
    if recipe.entropy.weight:
        ratios = mask_ratios(recipe.entropy.mask_ratio)
        hidden = " or ".join(str(cost.patches - kept_patches(cost.patches, ratio)) for ratio in ratios)
        lines["entropy"] = f"({batch}, {hidden}) of {cost.patches} patches hidden"
        if recipe.entropy.statistics != ["entropy"]:
            lines["entropy"] += f"; {', '.join(recipe.entropy.statistics)}"
    if recipe.guide.teacher is not None:
        lines["guide"] = f"{recipe.guide.teacher}, {cost.guide:,} parameters, in every step"
        if recipe.guide.teacher == PIXELS:
            lines["guide"] = f"{PIXEL_TARGETS} numbers counted in the pixels of each image; .1 s of a core an image"
        if packed:
            lines["guide"] = f"{packed.packing.views} packed views an image, of {packed.packing.teacher}"
    if labels:
        lines["labels"] = f"({batch}, 2, {size}, {size}, 3), of {len(labels.images):,} images of {labels.images.name}"
    lines["parameters"] = (
        f"encoder {cost.encoder:,}, heads {cost.heads:,}, decoder {cost.decoder:,}; "
        f"trained {cost.trainable:,}; teacher {cost.teacher:,}"
    )
    image = cost.flops_per_image
    per_step, whole = image * batch, image * batch * left
    lines["FLOPs"] = f"{image / 1e9:.3g} G an image, {per_step / 1e12:.3g} T a step, {whole / 1e15:.3g} P in all"
    lines["memory"] = (
        f"about {_gigabytes(cost.state_bytes + cost.activation_bytes)}: weights and optimizer "
        f"{_gigabytes(cost.state_bytes)}, activations {_gigabytes(cost.activation_bytes)} in {train.precision}"
    )
    rule = " (1.5e-4 · batch_size / 256)" if recipe.optimizer.learning_rate is None else ""
    lines["rate"] = f"{recipe.learning_rate:.3g} at its highest{rule}"
    if whence:
        lines["start"] = whence
    passes = f", {left * batch / images:.3g} passes" if images else ""
    of_all = f", of {train.steps:,} in all" if start else ""
    lines["steps"] = f"{left:,} of {batch} images{of_all}: {left * batch:,} images{passes}"
    backend = choose_backend(recipe.backend)
    from clicv2_keras.training.devices import check_backend
    from clicv2_keras.training.measured_cost import product_rate

    check_backend(recipe, backend)
    rate = product_rate(batch * cost.patches, width, train.precision)
    alone = "" if recipe.distribution.strategy == "none" else ", were one device to do it all"
    lines["time"] = (
        f"about {_duration(whole / (EFFICIENCY * rate))} on {backend}{alone}: matrix products reach "
        f"{rate / 1e9:.3g} GFLOP/s here and now, a whole step about {EFFICIENCY:.0%} of that; without reading, "
        "compiling and probing"
    )
    return "\n".join(f"{name:<11} {line}" for name, line in lines.items())


def _start(folder, resume, begin):
    """The step that `train` would go on from, and one line on what it has from where; None of a run that begins."""
    if folder.is_begun and not resume:
        # What a run costs may be asked beside one that is there.
        return 0, f"not here: {folder.path} holds a run; add --resume to continue it, or take another run.dir"
    path = folder.checkpoints.newest() if folder.check(resume) else begin
    if path:
        step = step_of(path)
        return step, f"at step {step:,}, with the weights and the optimizer of {path}"
    return 0, f"at step 0: {folder.path} has no checkpoint to go on from" if resume else None


def recipe_cost(recipe, labels=None):
    """The `Cost` of a recipe, whatever networks it names, and the recipe `with_shape`."""
    networks = ()
    if recipe.encoder.weights is not None or recipe.encoder.stem != "linear" or recipe.guide.teacher is not None:
        choose_backend(recipe.backend)
        from clicv2_keras.training.build import with_shape
        from clicv2_keras.training.measured_cost import recipe_networks

        recipe, stem = with_shape(recipe)
        networks = recipe_networks(recipe, stem)
    groups, labelled = (len(labels.group_names), len(labels.images)) if labels else (0, 0)
    return count_cost(recipe, *networks, groups=groups, labelled=labelled), recipe


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


def _duration(seconds):
    seconds = round(seconds)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.{0 if seconds >= 10 * length else 1}f} {unit}"
    return f"{seconds} s"


def _gigabytes(count):
    return f"{count / 1e9:.2g} GB"
