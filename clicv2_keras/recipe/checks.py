"""What the keys of a recipe demand of each other."""

from clicv2_keras.recipe.schema import Data, Guide
from clicv2_keras.recipe.shapes import PACKED, PIXELS, averaged_side, decoder_heads, mask_ratios, view_patches


def mistakes(recipe):
    """Yield (key, message) for each pair of keys that do not fit."""
    data, encoder, contrast, entropy = recipe.data, recipe.encoder, recipe.contrast, recipe.entropy
    labels, guide = recipe.labels, recipe.guide
    if encoder.weights is None:
        yield from shape_mistakes(recipe)
    else:
        for key in ("patch_size", "width", "depth", "num_heads"):
            if getattr(encoder, key) is not None:
                yield f"encoder.{key}", "the shape is that of encoder.weights; leave the key out"
        if encoder.stem != "linear":
            yield "encoder.stem", "the stem is that of encoder.weights; leave the key out"
    if contrast.level == "none" and not entropy.weight and guide.teacher is None and labels.dataset is None:
        yield (
            "contrast.level",
            "none, with entropy.weight 0, no guide and no labels, leaves nothing to learn; switch one of them on",
        )
    if guide.teacher is not None and not guide.pooled_weight and (guide.teacher == PIXELS or not guide.grid_weight):
        why = "a guide by pixels has no other part" if guide.teacher == PIXELS else "and grid_weight is 0 as well"
        yield "guide.pooled_weight", f"0 leaves the guide nothing to teach, {why}; take more, or guide.teacher null"
    if guide.teacher == PIXELS:
        for key in ("grid_dim", "grid_weight"):
            if getattr(guide, key) != getattr(Guide(), key):
                yield f"guide.{key}", "a guide by pixels has no grid; leave the key out"
    if guide.teacher == PACKED and data.source != "records":
        yield "guide.teacher", "packed targets lie beside records; take data.source records, or another teacher"
    if guide.teacher == PACKED and not data.flip:
        yield "data.flip", "of packed views half are mirrored; take true"
    if recipe.optimizer.average and contrast.level != "none":
        yield "optimizer.average", "the contrast's teacher is an average of the weights; take 0"
    if labels.dataset is not None and recipe.distribution.strategy != "none":
        yield "labels.dataset", "labels need distribution.strategy none"
    if recipe.run.images_every and not recipe.reads_images:
        yield "run.images_every", "pictures show what the other branches see, and there is none but labels; take 0"
    if encoder.stem == "linear" and encoder.weights is None and encoder.stem_rate:
        yield "encoder.stem_rate", "a linear stem has no rate of its own; take 0, or name a network by encoder.stem"
    batch, accumulate, distribution = recipe.train.batch_size, recipe.train.accumulate, recipe.distribution
    if batch % accumulate:
        yield "train.accumulate", f"{accumulate} does not divide train.batch_size {batch}"
    if contrast.level != "none" and batch // accumulate < 2:
        if accumulate > 1:
            yield "train.accumulate", f"{accumulate} leaves micro-batches of one image, with nothing to contrast with"
        yield "train.batch_size", "1 leaves nothing to contrast with; take 2 or more"
    if distribution.strategy == "none":
        for key in ("devices", "processes"):
            if (getattr(distribution, key) or 1) > 1:
                yield f"distribution.{key}", "several need distribution.strategy data_parallel"
    if distribution.processes > 1 and distribution.devices is not None:
        yield "distribution.devices", "several processes take all of their devices; take null"
    if distribution.processes > 1:
        # They compute in process 0 alone, and the others would wait for it in vain.
        if recipe.probe.dataset:
            yield "probe.dataset", "a probe needs distribution.processes 1; evaluate the run when it has ended"
        if recipe.run.images_every:
            yield "run.images_every", "pictures need distribution.processes 1; take 0"
    if contrast.level == "patch" and data.views == "two_crops":
        yield "data.views", "two_crops have no positions in common; contrast.level patch needs same_crop"
    yield from _of_levers(recipe)
    heads = decoder_heads(entropy.decoder_width)
    if entropy.decoder_width % 4 or entropy.decoder_width % heads:
        yield (
            "entropy.decoder_width",
            f"{entropy.decoder_width} is not a multiple of 4 and {heads} heads; take 192",
        )

    if data.source == "procedural":
        if data.num_images is None:
            yield "data.num_images", "the procedural source needs a number of images"
        if data.path is not None:
            yield "data.path", f"the procedural source reads no {data.path}; add data.source folder, list or records"
    elif data.num_images not in (None, Data().num_images):
        yield (
            "data.num_images",
            f"{data.source} takes all of its images; leave the key out, or take source list",
        )
    for name, section in (("labels", labels), ("probe", recipe.probe)):
        if section.dataset is None and section.root is not None:
            yield f"{name}.root", f"of which data set? name it by {name}.dataset, or take null"
        if section.dataset == []:
            yield f"{name}.dataset", "names no data set; name one, or take null"
        if section.dataset is not None and (section.root is None or len(section.datasets) != len(section.roots)):
            yield f"{name}.root", f"name where {' and '.join(section.datasets)} lie, each in its place"
    steps, warmup = recipe.train.steps, recipe.optimizer.warmup_steps
    if steps and warmup is not None and warmup >= steps:
        yield "optimizer.warmup_steps", f"{warmup} leaves none of the {steps} steps of train.steps; take fewer, or null"
    decay = recipe.optimizer.decay_steps
    if recipe.optimizer.schedule == "cosine" and decay is not None:
        yield "optimizer.decay_steps", "a cosine has no level part; take null, or schedule constant_then_decay"
    if steps and decay is not None and decay > steps:
        yield "optimizer.decay_steps", f"{decay} is more than the {steps} steps of train.steps; take fewer, or null"


def _of_levers(recipe):
    """What the parts beyond the paper's reading demand of each other."""
    contrast, entropy = recipe.contrast, recipe.entropy
    if contrast.negatives == "same_image":
        if contrast.level == "image":
            yield "contrast.negatives", "same_image has none for an image's mean; contrast.level image needs another"
        elif contrast.global_weight:
            yield "contrast.global_weight", "negatives same_image has none for an image's mean; take 0"
        elif contrast.level == "patch" and contrast.tokens < 2:
            yield "contrast.tokens", "1 leaves nothing to contrast with in the same image; take 2 or more"
    if contrast.energy_weight and contrast.level == "patch":
        yield "contrast.energy_weight", "is CLIC's, whose contrast is image-wise; take 0, or contrast.level image"
    once = {
        "contrast.copies": contrast.copies,
        "entropy.statistics": entropy.statistics,
        "labels.parts": recipe.labels.parts or [],
    }
    if recipe.labels.parts == []:
        yield "labels.parts", "is an empty list; name one or more, or take null for all"
    for key, values in once.items():
        if len(set(values)) < len(values):
            yield key, "names one twice"
    ratios = mask_ratios(entropy.mask_ratio)
    if not ratios:
        yield "entropy.mask_ratio", "is an empty list; name one or more"
    elif not entropy.weight:
        return
    elif not any(ratios) and not entropy.visible and entropy.target != "image":
        yield "entropy.mask_ratio", "0 hides nothing, so that nothing is to be told; take more, or entropy.visible true"
    elif len(ratios) > (images := recipe.train.batch_size // recipe.train.accumulate):
        yield "entropy.mask_ratio", f"{len(ratios)} ratios need as many images, and there are {images} at a time"
    elif entropy.target != "patch" and images < 2:
        yield (
            "entropy.target",
            "an image's entropy is standardised by that of others; take patch, or more images at a time",
        )


def shape_mistakes(recipe):
    """Those that follow from the encoder's shape, where the recipe says it.

    With `encoder.weights` the weights say it, and the keys are to be filled in.
    """
    data, encoder, contrast, entropy = recipe.data, recipe.encoder, recipe.contrast, recipe.entropy
    shape = encoder.shape()
    patch, size = shape["patch_size"], data.image_size
    if size % patch:
        near = " or ".join(str(n) for n in (size // patch * patch, (size // patch + 1) * patch) if n)
        if encoder.patch_size and encoder.weights is None:
            yield "encoder.patch_size", f"{patch} does not divide data.image_size {size}; an image of {near} would do"
        yield "data.image_size", f"{size} is not a multiple of the patch of {patch} pixels; take {near}"
        return
    patches = (size // patch) ** 2
    if shape["width"] % 4 or shape["width"] % shape["num_heads"]:
        yield "encoder.width", f"{shape['width']} is not a multiple of 4 and of num_heads {shape['num_heads']}"
    kept = view_patches(patches, contrast.keep_ratio)
    if contrast.level == "patch" and contrast.tokens > kept:
        whose = "an image's" if kept == patches else "a view's"
        yield "contrast.tokens", f"{contrast.tokens} of {whose} {kept} patches; take {kept} or fewer"
    for name in entropy.statistics:
        side = averaged_side(name)
        if entropy.weight and patch % side:
            yield "entropy.statistics", f"{name} averages {side} x {side} pixels, and a patch has {patch}; leave it out"
        elif entropy.weight and patch // side < 2 and name.startswith(("gradient", "colors")):
            yield "entropy.statistics", f"{name} compares pixels, and a patch of {patch} has one for it; leave it out"
    if contrast.level != "none" and contrast.shift_mode != "none" and contrast.max_shift is None and patch < 2:
        yield "contrast.max_shift", "half of a patch of 1 pixel is none; take 1, or contrast.shift_mode none"
    if contrast.shift_mode != "none" and (contrast.max_shift or 1) > patch:
        yield "contrast.max_shift", f"{contrast.max_shift} is more than the patch of {patch} pixels"
    if entropy.weight and patches < 2:
        yield "entropy.weight", f"masking needs two patches, and {size} pixels hold one of {patch}; 0 switches it off"
