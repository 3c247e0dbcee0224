"""From a recipe to the batches that `fit` reads, and what is measured on them before the first step."""

import numpy as np
import tensorflow as tf

from clicv2_keras.data.pipeline import labelled_dataset, training_dataset
from clicv2_keras.recipe.shapes import PACKED, PIXELS
from clicv2_keras.training.pixel_measures import CountedTargets
from clicv2_keras.training.source import packed_targets

# Images that a stem's statistics are measured on: a mean and a deviation a channel need no more.
STEM_SAMPLE = 1000


def build_dataset(recipe, source, start_step, skipped, devices=None, batch_size=None, labels=None):
    """The endless micro-batches of a recipe from a step on, of its size or another.

    With `devices`, the share of this process in each. With `labels`, its `JointSets`, the labelled images beside the
    others; or alone, where nothing is learnt from the others. `skipped` are the `SkippedImages` of the run, or None.
    """
    accumulate = recipe.train.accumulate
    settings = {
        "image_size": recipe.data.image_size,
        "batch_size": batch_size or recipe.train.batch_size // accumulate,
        "seed": recipe.seed,
        "start_step": start_step * accumulate,
        "share": (devices.process, devices.processes) if devices else (0, 1),
        "on_unreadable": skipped,
        "on_failure": skipped and skipped.fail,
    }
    parts = []
    if recipe.reads_images:
        parts.append(_views(recipe, source, settings))
    if labels is not None:
        images, numbers = labels.images, labels.group_numbers
        parts.append(labelled_dataset(images.source, images.scores, numbers, **settings))
    dataset = tf.data.Dataset.zip(tuple(parts)).map(lambda *parts: {k: v for part in parts for k, v in part.items()})
    options = tf.data.Options()
    # Its thread sleeps for up to a minute, and at times `fit` cannot end before that (TensorFlow 2.21).
    options.autotune.enabled = False
    return dataset.with_options(options)


def _views(recipe, source, settings):
    data, contrast = recipe.data, recipe.contrast.level != "none"
    brought = CountedTargets() if recipe.guide.teacher == PIXELS else packed_targets(recipe, source)
    dataset = training_dataset(
        source,
        views=data.views,
        min_area=data.min_area,
        flip=data.flip,
        jitter=data.jitter if contrast else 0.0,
        grey=data.grey if contrast else 0.0,
        brought=brought,
        **settings,
    )
    if contrast:
        return dataset
    # Nobody reads the two views.
    return dataset.map(lambda batch: {name: batch[name] for name in batch if not name.startswith("view_")})


def measure_images(model, recipe, source, skipped, labels=None):
    """Before the first step: the stem's statistics and the guide's targets, of the first images of the run; where it
    has none but `labels`, of these."""
    stem, guide = model.encoder.stem, model.guide
    # What is packed was measured then.
    if recipe.guide.teacher == PACKED:
        guide = None
    # The statistics of a stem that was trained before are its own.
    if recipe.encoder.weights is not None:
        stem = None
    if stem is None and guide is None:
        return
    of_pixels = guide is not None and recipe.guide.teacher == PIXELS
    count, size = STEM_SAMPLE if guide is None else recipe.guide.sample, 32
    read = ["image"] * (stem is not None or not of_pixels) + ["guide_measures"] * of_pixels
    if recipe.reads_images:
        dataset = build_dataset(recipe, source, 0, skipped, batch_size=size)
        # The other views are as large as the images.
        dataset = dataset.map(lambda batch: {name: batch[name] for name in read})
    else:
        dataset = build_dataset(recipe, source, 0, skipped, batch_size=size, labels=labels)
        dataset = dataset.map(lambda batch: {"image": batch["crops"][:, 0]})
    batches = list(dataset.take(-(-count // size)).as_numpy_iterator())
    found = {name: np.concatenate([batch[name] for batch in batches])[:count] for name in read}
    if stem is not None:
        stem.adapt(found["image"][:STEM_SAMPLE], model.encoder.grid)
        if model.contrast is not None:
            model.contrast.begin_teacher(model.encoder)
    if of_pixels:
        guide.targets.fit(found["guide_measures"])
    elif guide is not None:
        guide.fit(found["image"])
