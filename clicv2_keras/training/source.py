"""The images that a recipe names."""

import numpy as np

from clicv2_keras.data.records.packed_targets import PackedTargets
from clicv2_keras.data.sources import open_source
from clicv2_keras.data.subset import split_held_out
from clicv2_keras.recipe.files import blame
from clicv2_keras.recipe.schema import Guide
from clicv2_keras.recipe.shapes import PACKED
from clicv2_keras.utils.errors import UserError

FEWEST_LABELS = 10


def recipe_source(recipe):
    """Open the recipe's images, those that are trained on; see `held_out_source` for the others.

    Raises:
        UserError: where the path is missing, nothing is there, or no image is left to train on.
    """
    source = _whole_source(recipe)
    count = recipe.data.held_out
    trained_on = split_held_out(source, count)[0] if count else source
    if not len(trained_on):
        raise UserError(f"{recipe.where('data.held_out')}: {count} of {len(source)} images leaves none to train on")
    return trained_on


def packed_targets(recipe, source=None):
    """The `PackedTargets` of the recipe's images, or of those of `source`; None where its guide is another.

    Raises:
        UserError: where there are none, or they are of other views than the recipe's.
    """
    if recipe.guide.teacher != PACKED:
        return None
    if recipe.data.path is None:
        raise UserError(f"{recipe.where('data.path')}: the records are yours to name; add --set data.path=PATH")
    with blame(recipe, "data.path"):
        packed = PackedTargets(recipe.data.path, source)
    asked = {"data.image_size": recipe.data.image_size, "data.min_area": recipe.data.min_area}
    there = {"data.image_size": packed.packing.image_size, "data.min_area": packed.packing.min_area}
    # Where the encoder's weights say it, only once they are there: see `with_shape`.
    if recipe.encoder.weights is None or recipe.encoder.patch_size is not None:
        asked["encoder.patch_size"] = recipe.encoder.shape()["patch_size"]
        there["encoder.patch_size"] = packed.packing.patch_size
    for name in ("grid_dim", "pooled_dim"):
        # The default is not asked for: a small teacher has fewer.
        if (wanted := getattr(recipe.guide, name)) != getattr(Guide(), name):
            asked[f"guide.{name}"], there[f"guide.{name}"] = wanted, getattr(packed.packing, name)
    for key, value in there.items():
        if asked[key] != value:
            raise UserError(f"{recipe.where(key)}: is {asked[key]}, of the packed targets {value}; take the same")
    return packed


def held_out_source(recipe):
    """The recipe's images that are never trained on; None where there are none."""
    if not recipe.reads_images:
        return None
    return split_held_out(_whole_source(recipe), recipe.data.held_out)[1] if recipe.data.held_out else None


def _whole_source(recipe):
    data = recipe.data
    if data.source != "procedural" and data.path is None:
        raise UserError(f"{recipe.where('data.path')}: the images are yours to name; add --set data.path=PATH")
    with blame(recipe, "data.path"):
        return open_source(
            data.source, path=data.path, num_images=data.num_images, image_size=data.image_size, seed=recipe.seed
        )


def label_sets(recipe):
    """The recipe's images with labels, a `JointSets`; None where it names none.

    Raises:
        UserError: where they cannot be read, or have none of the parts.
    """
    from clicv2_keras.data.labelled.joint_sets import join_sets
    from clicv2_keras.data.labelled.scored_sets import open_scored_sets

    labels = recipe.labels
    if labels.dataset is None:
        return None
    with blame(recipe, "labels"):
        sets = open_scored_sets(labels.datasets, labels.roots, labels.within_category)
        joint = join_sets(fitted_parts(sets, labels.splits))
        check_labels(joint.images, len(joint.images))
        return joint


def check_labels(images, count):
    """See that a head can be fitted to `ScoredImages`, of which `count` can be read.

    Raises:
        UserError: where these are too few, or all labels are equal.
    """
    if count < FEWEST_LABELS:
        raise UserError(
            f"{images.name}: {count} readable labelled images are too few to fit to; give at least {FEWEST_LABELS}"
        )
    if np.ptp(images.scores) == 0:
        raise UserError(f"{images.name}: all labels are {images.scores[0]:g}: there is nothing to learn from them")


def fitted_parts(sets, splits):
    """Of each of several `ScoredImages` the parts that are fitted to; all where it names none.

    Raises:
        UserError: where one has none of the parts that it names, or none of them has a part that is asked for.
    """
    found = [_fitted_part(each, splits) for each in sets]
    named = {part for each in sets for part in each.splits}
    for part in splits:
        # Who names no parts at all need not know of the default.
        if part not in named and part != "train":
            names = " and ".join(each.name for each in sets)
            there = ", ".join(sorted(named - {""})) or "no parts, all images are fitted to"
            raise UserError(f"{names}: has no part {part} to be fitted to; leave it out: there are {there}")
    return found


def _fitted_part(data, splits):
    if not any(data.splits):
        return data
    there = np.isin(data.splits, list(splits))
    if not there.any():
        parts = ", ".join(sorted(set(data.splits)))
        raise UserError(f"{data.name}: has no image in {' or '.join(splits)}; its parts are {parts}")
    return data.subset(there)


def probe_sets(recipe, labels):
    """The labelled sets of the recipe's probe, a list of `ScoredImages`; empty without one.

    Args:
        labels: what the recipe's `label_sets` are.

    Raises:
        UserError: where they cannot be read, or cannot be judged by.
    """
    if recipe.probe.dataset is None:
        return []
    from clicv2_keras.data.labelled.scored_sets import open_scored_sets
    from clicv2_keras.evaluation.agreement import FEWEST
    from clicv2_keras.evaluation.folds import make_folds, selection_split

    probe = recipe.probe
    fitted = set(labels.images.source.paths) if labels else set()
    with blame(recipe, "probe"):
        sets = open_scored_sets(probe.datasets, probe.roots, probe.within_category)
        for each in sets:
            chosen, split = selection_split(each, probe.split)
            folds, _ = make_folds(chosen, split)
            judged = np.concatenate([test for _, test in folds])
            left = sum(chosen.source.paths[index] not in fitted for index in judged)
            if left < FEWEST:
                raise UserError(
                    f"{each.name}: of {len(judged)} images to judge by {len(judged) - left} are those that the labels "
                    "fit; take another probe.dataset, or a part that labels.splits does not name"
                )
        return sets
