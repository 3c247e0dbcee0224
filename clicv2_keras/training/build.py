"""From a recipe to the model and its optimizer. Import only once the backend is chosen."""

import keras

from clicv2_keras.layers import FeatureStem, MeasureTargets
from clicv2_keras.layers.set_trainable import set_trainable
from clicv2_keras.models import (
    CLICv2,
    ContrastiveBranch,
    CosineMomentum,
    GuideBranch,
    LabelBranch,
    LinearHead,
    MaskedEntropyBranch,
    ViTEncoder,
)
from clicv2_keras.models.find_model import encoder_of, find_model
from clicv2_keras.models.open_feature_maps import open_feature_maps
from clicv2_keras.models.optimizer import adamw
from clicv2_keras.recipe.checks import shape_mistakes
from clicv2_keras.recipe.files import blame
from clicv2_keras.recipe.schema import Encoder
from clicv2_keras.recipe.shapes import ENCODERS, PARTS, PIXEL_TARGETS, PIXELS
from clicv2_keras.training.pack_targets import fitted_targets
from clicv2_keras.training.source import packed_targets
from clicv2_keras.utils.errors import UserError


def build_encoder(recipe):
    """The encoder that a run starts with, the same for the same seed.

    That of `encoder.weights`, or one at its random initialisation, whose stem has its pretrained weights.

    Raises:
        UserError: where the weights are of no model, or not of what other keys ask for, their shape does not suit
            other keys, or the stem that shall be trained is linear.
    """
    settings = recipe.encoder
    if settings.weights is not None:
        return _start(recipe)
    stem = build_stem(recipe)
    keras.utils.set_random_seed(recipe.seed)
    return ViTEncoder.from_preset(
        settings.preset,
        image_size=recipe.data.image_size,
        freeze_patch_projection=settings.freeze_patch_projection,
        detail_gain=settings.detail_gain,
        stem=stem,
        stem_skip=settings.stem_skip,
        **settings.shape(),
    )


def build_stem(recipe):
    """The `FeatureStem` that `encoder.stem` names, with its pretrained weights; None for a linear one."""
    settings = recipe.encoder
    if settings.stem == "linear":
        return None
    with blame(recipe, "encoder.stem"):
        features = open_feature_maps(settings.stem)
    try:
        features = features.select(max_stride=settings.stem_stride)
    except ValueError as error:
        raise UserError(f"{recipe.where('encoder.stem_stride')}: {settings.stem}: {error}") from None
    return FeatureStem(features, trainable=settings.stem_rate > 0)


def _start(recipe):
    with blame(recipe, "encoder.weights"):
        encoder, size = encoder_of(find_model(recipe.encoder.weights)), recipe.data.image_size
    _check_weights(recipe, encoder)
    for key, message in shape_mistakes(_shaped(recipe, encoder)):
        raise UserError(f"{recipe.where(key)}: {message}")
    keras.utils.set_random_seed(recipe.seed)
    changes = {"image_size": size, "freeze_patch_projection": recipe.encoder.freeze_patch_projection}
    # A file may hold an encoder that was frozen when it was saved.
    encoder = encoder.copy(**changes, trainable=True, dtype=keras.config.dtype_policy())
    if recipe.encoder.stem_rate:
        if encoder.stem is None:
            raise UserError(
                f"{recipe.where('encoder.stem_rate')}: the stem of {recipe.encoder.weights} is linear and has no rate "
                "of its own; take 0"
            )
        set_trainable(encoder.stem, True)
    return encoder


def _check_weights(recipe, encoder):
    """Refuse a key of the encoder that says otherwise than `encoder.weights`, but for its default."""
    asked, default = recipe.encoder, Encoder()
    # Of the two the other has no part in such an encoder.
    own = "detail_gain" if encoder.stem is None else "stem_skip"
    agrees = {
        "preset": ENCODERS[asked.preset]["width"] == encoder.width,
        own: getattr(asked, own) == getattr(encoder, own),
    }
    for key, same in agrees.items():
        if not same and getattr(asked, key) != getattr(default, key):
            raise UserError(
                f"{recipe.where(f'encoder.{key}')}: {getattr(asked, key)} is not what {asked.weights} has; leave the "
                f"key out, or take {getattr(default, key)}, which asks for nothing"
            )


def with_shape(recipe):
    """For counting: the recipe with the shape of the model that `encoder.weights` names in its keys, and its
    `FeatureStem` or None, whichever key it comes by."""
    if recipe.encoder.weights is None:
        return recipe, build_stem(recipe)
    encoder = build_encoder(recipe)
    return _shaped(recipe, encoder), encoder.stem


def _shaped(recipe, encoder):
    """The recipe with the shape of an encoder in its keys."""
    shape = {key: getattr(encoder, key) for key in ("patch_size", "width", "depth", "num_heads", "stem_skip")}
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update=shape)})


def build_model(recipe, labels=None):
    """The compiled `CLICv2` model of a recipe; `labels` are its `JointSets`."""
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.train.precision == "bfloat16" else "float32")
    encoder = build_encoder(recipe)
    encoder.recompute = recipe.train.recompute
    contrast = recipe.contrast.model_dump(exclude={"momentum"})
    momentum = CosineMomentum(recipe.contrast.momentum, total_steps=max(recipe.train.steps, 1))
    model = CLICv2(
        encoder,
        contrast=None
        if recipe.contrast.level == "none"
        else ContrastiveBranch(**contrast, bins=recipe.entropy.bins, momentum=momentum, seed=recipe.seed),
        entropy=MaskedEntropyBranch(**recipe.entropy.model_dump(), seed=recipe.seed) if recipe.entropy.weight else None,
        guide=_guide(recipe),
        labels=_label_branch(recipe.labels, labels) if labels else None,
    )
    _compile(model, recipe)
    model.optimizer.build(model.trainable_variables)
    return model


def _compile(model, recipe):
    """`compile` as `train.jit` says: by itself Keras has no XLA for TensorFlow on a CPU.

    There oneDNN is better at convolutions, and at products in bfloat16, which XLA has not: these stay apart. Nor can a
    step be compiled as a whole that sums over several devices.
    """
    convolutions = model.encoder.stem or (model.guide and model.guide.teacher)
    in_parts = convolutions or recipe.train.precision == "bfloat16" or recipe.distribution.strategy != "none"
    jit_compile = "auto" if recipe.train.jit else False
    if recipe.train.jit == "always":
        model.elementwise_jit = bool(in_parts)
        jit_compile = "auto" if in_parts else True
    model.compile(build_optimizer(recipe, model), jit_compile=jit_compile)


def _guide(recipe):
    settings = recipe.guide
    if settings.teacher is None:
        return None
    values = settings.model_dump(exclude={"teacher", "sample"})
    if settings.teacher == PIXELS:
        return GuideBranch(targets=MeasureTargets(PIXEL_TARGETS), **values)
    if packed := packed_targets(recipe):
        dims = packed.packing.model_dump(include={"grid_dim", "pooled_dim"})
        return GuideBranch(targets=fitted_targets(packed.folder, packed.packing), **values | dims)
    with blame(recipe, "guide.teacher"):
        return GuideBranch(open_feature_maps(settings.teacher), **values)


def _label_branch(settings, labels):
    names = labels.group_names
    common = [names.index(name) for name in labels.common] or None
    head = LinearHead(settings.parts or PARTS, labels.images.score_range)
    return LabelBranch(head, len(names), common, settings.weight)


def build_optimizer(recipe, model):
    """The recipe's optimizer; see `adamw`."""
    settings, steps, stem = recipe.optimizer, max(recipe.train.steps, 1), model.encoder.stem
    # The stem of a model that is trained on learns as the model does, where no rate of its own is named.
    apart = stem is not None and (recipe.encoder.weights is None or recipe.encoder.stem_rate)
    # Of a row that is not trained the optimizer is built all the same.
    warmup = steps // 10 if settings.warmup_steps is None else min(settings.warmup_steps, steps - 1)
    decay = None
    if settings.schedule == "constant_then_decay":
        decay = steps // 5 if settings.decay_steps is None else settings.decay_steps
    return adamw(
        model.trainable_variables,
        recipe.learning_rate,
        steps,
        warmup=warmup,
        decay=decay,
        weight_decay=settings.weight_decay,
        beta_2=settings.beta_2,
        micro_batches=recipe.train.accumulate,
        slow=stem.trainable_variables if apart else (),
        share=recipe.encoder.stem_rate,
        average=settings.average,
    )
