"""From a recipe to the things that `fit` needs. Import only once the backend is chosen."""

import keras
import numpy as np

from clicv2_keras.layers import FeatureStem
from clicv2_keras.models import CLICv2, ContrastiveBranch, CosineMomentum, GuideBranch, MaskedEntropyBranch, ViTEncoder
from clicv2_keras.models.open_feature_maps import open_feature_maps
from clicv2_keras.training.optimizer import adamw

# Images that a stem's statistics are measured on: a mean and a deviation a channel need no more.
STEM_SAMPLE = 1000


def build_encoder(recipe):
    """The encoder at its random initialisation, the same for the same seed; a stem has its pretrained weights."""
    settings, stem = recipe.encoder, None
    if settings.stem != "linear":
        features = open_feature_maps(settings.stem).select(max_stride=settings.stem_stride)
        stem = FeatureStem(features, trainable=settings.stem_rate > 0)
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


def build_model(recipe):
    """The compiled `CLICv2` model of a recipe."""
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
        guide=_guide(recipe.guide),
    )
    model.compile(build_optimizer(recipe, model), jit_compile="auto" if recipe.train.jit else False)
    model.optimizer.build(model.trainable_variables)
    return model


def _guide(settings):
    if settings.teacher is None:
        return None
    return GuideBranch(open_feature_maps(settings.teacher), **settings.model_dump(exclude={"teacher", "sample"}))


def measure_images(model, recipe, source, on_unreadable):
    """Before the first step: the stem's statistics and the guide's targets, of the first images of the run."""
    stem, guide = model.encoder.stem, model.guide
    if stem is None and guide is None:
        return
    count, size = recipe.guide.sample, 32
    dataset = build_dataset(recipe, source, 0, on_unreadable, batch_size=size)
    images = np.concatenate([views["image"].numpy() for views in dataset.take(-(-count // size))])[:count]
    if stem is not None:
        stem.adapt(images[:STEM_SAMPLE], model.encoder.grid)
    if guide is not None:
        guide.fit(images)


def build_optimizer(recipe, model):
    """The recipe's optimizer; see `adamw`."""
    settings, steps = recipe.optimizer, max(recipe.train.steps, 1)
    warmup = steps // 10 if settings.warmup_steps is None else settings.warmup_steps
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
        slow=model.encoder.stem.trainable_variables if model.encoder.stem is not None else (),
        share=recipe.encoder.stem_rate,
    )


def build_dataset(recipe, source, start_step, on_unreadable, devices=None, batch_size=None):
    """The endless micro-batches of a recipe from a step on, of its size or another.

    With `devices`, the share of this process in each.
    """
    # Not above: a model can be built where there is no TensorFlow.
    import tensorflow as tf

    from clicv2_keras.data.pipeline import training_dataset

    data, contrast = recipe.data, recipe.contrast.level != "none"
    dataset = training_dataset(
        source,
        image_size=data.image_size,
        batch_size=batch_size or recipe.train.batch_size // recipe.train.accumulate,
        views=data.views,
        min_area=data.min_area,
        flip=data.flip,
        jitter=data.jitter if contrast else 0.0,
        seed=recipe.seed,
        start_step=start_step * recipe.train.accumulate,
        share=(devices.process, devices.processes) if devices else (0, 1),
        on_unreadable=on_unreadable,
    )
    if not contrast:
        # Nobody reads the views.
        dataset = dataset.map(lambda views: {"image": views["image"]})
    options = tf.data.Options()
    # Its thread sleeps for up to a minute, and at times `fit` cannot end before that (TensorFlow 2.21).
    options.autotune.enabled = False
    return dataset.with_options(options)
