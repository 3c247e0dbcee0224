"""What an ablation is made of, and what it would cost, before anything is trained."""

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clicv2_keras.ablation.row import TABLE, Row, choose_rows, row_changes
from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.recipe.files import OVERRIDE, load_recipe
from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.recipe.shapes import PACKED
from clicv2_keras.recipe.text import flat
from clicv2_keras.training.plan import recipe_cost
from clicv2_keras.training.source import label_sets, packed_targets, probe_sets, recipe_source
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import StrPath, check_writable, user_path

KNOWN_COMPLEXITY = "the known complexity of unseen procedural images"


@dataclass
class Run:
    """One training of the ablation: a `Row`, a seed, and the complete `Recipe` of both, its run folder in it."""

    row: Row
    seed: int
    recipe: Recipe

    @property
    def images(self):
        """How many images the training sees, repetitions counted."""
        return self.recipe.train.steps * self.recipe.train.batch_size


@dataclass
class Plan:
    """A checked ablation.

    Args:
        recipe: the `Recipe` that the rows change.
        rows: the `Row`s.
        runs: the `Run`s, all rows of a seed before the next seed.
        output: the folder of the results.
        data: the `ScoredImages` that the features are judged on; None for procedural images.
        test_split: the part of them that is judged.
        protocol: a sentence on what the figures are of.
    """

    recipe: Recipe
    rows: list[Row]
    runs: list[Run]
    output: Path
    data: ScoredImages | None
    test_split: str | None
    protocol: str

    @property
    def keys(self):
        """The recipe keys in which rows differ."""
        return list(dict.fromkeys(key for row in self.rows for key in row.changes))


def make_plan(
    recipe,
    rows=None,
    vary=(),
    overrides=(),
    seeds=3,
    dataset=None,
    root=None,
    test_split=None,
    within_category=None,
    output=None,
):
    """Check all that can be checked before the first run; arguments, `UserError`s: see `ablate`."""
    if seeds < 1:
        raise UserError(f"--seeds {seeds}: take 1 or more; the deviation needs 2")
    if output is not None:
        check_writable(output)
    base = load_recipe(recipe, overrides)
    if rows or not vary:
        _check_whole(base, recipe)
    rows = choose_rows(rows, vary)
    _check_overrides(overrides, vary)
    _check_varied(base, vary)
    output = user_path(output or f"runs/ablate_{base.name}")
    runs, folders = [], {}
    for seed in range(base.seed, base.seed + seeds):
        for row in rows:
            folder = _folder(output, row, seed)
            if (other := folders.setdefault(folder, row.name)) != row.name:
                raise UserError(f"rows {other} and {row.name}: would share the folder {folder}; leave one of them out")
            own = [
                f"name={_quoted(row.name)}",
                f"seed={seed}",
                f"run.dir={_quoted(str(folder))}",
            ]
            try:
                runs.append(Run(row, seed, load_recipe(recipe, [*overrides, *row.overrides, *own])))
            except UserError as error:
                raise UserError(f"row {row.name}: {str(error).removeprefix(f'{OVERRIDE}: ')}") from None
    data, protocol = _judged_on(dataset, root, test_split, within_category)
    return Plan(base, rows, runs, output, data, test_split, protocol)


def check_images(plan):
    """Raise a `UserError` where what a run reads is missing."""
    runs = {}
    for run in plan.runs:
        reads = {"data": {"source", "path", "num_images", "held_out"}, "labels": True, "probe": True}
        if run.recipe.guide.teacher == PACKED:
            reads |= {"data": True, "encoder": True, "guide": True}
        runs.setdefault(json.dumps(run.recipe.model_dump(include=reads)), run)
    for run in runs.values():
        try:
            if run.recipe.reads_images:
                packed_targets(run.recipe, recipe_source(run.recipe))
            probe_sets(run.recipe, label_sets(run.recipe))
        except UserError as error:
            raise UserError(f"row {run.row.name}: {error}") from None


def describe_ablation(recipe: StrPath, **arguments: Any) -> str:
    """Check an ablation and describe it: the rows, where they differ from the recipe, and the cost.

    Args: as for `ablate`; `data.path` may still be missing.

    Returns:
        Lines of text.
    """
    plan = make_plan(recipe, **arguments)
    if plan.recipe.data.source == "procedural" or plan.recipe.data.path:
        check_images(plan)
    width = max(len(row.name) for row in plan.rows)
    lines, total, costs = [], 0.0, {}
    for run in plan.runs:
        # No cost depends on the seed, and to count it may open large networks.
        if run.row.name not in costs:
            costs[run.row.name] = recipe_cost(run.recipe)[0].flops_per_image
        flops = costs[run.row.name] * run.images
        total += flops
        if run.seed == plan.recipe.seed:
            steps = f"{run.recipe.train.steps:,} steps of {run.recipe.train.batch_size}, {flops / 1e15:.3g} PFLOP"
            lines.append(f"{run.row.name:<{width}}  {steps}; {_changes(run.row)}")
    seeds = [run.seed for run in plan.runs if run.row is plan.rows[0]]
    images = sum(run.images for run in plan.runs)
    lines += [
        f"{len(plan.rows)} rows, seeds {', '.join(map(str, seeds))}: {len(plan.runs)} runs, {images:,} images, "
        f"{total / 1e15:.3g} PFLOP in all",
        f"judged by {plan.protocol}",
        f"into {plan.output}",
    ]
    return "\n".join(lines)


def _changes(row):
    return ", ".join(row.overrides).replace('"', "") or "the recipe as it is"


def _check_whole(base, recipe):
    """The table switches parts of the method off: they must be on in the recipe."""
    values = flat(base.model_dump())
    changes = row_changes()
    for name in TABLE:
        for key, value in changes[name].items():
            if values[key] == value:
                raise UserError(
                    f"{recipe}: {key}: {value} is what the row {name} switches it to; the table's rows need a recipe "
                    "of the whole method"
                )


def _check_overrides(overrides, vary):
    """What would be written over by the rows."""
    varied = [text.partition("=")[0] for text in vary]
    for key in (text.partition("=")[0] for text in overrides):
        if key in varied:
            raise UserError(f"{OVERRIDE} {key}: is varied by --vary; leave one of them out")
        if key == "run.dir":
            raise UserError(f"{OVERRIDE} run.dir: every run has a folder of its own below --output; name that")


def _check_varied(base, vary):
    """A section is no key."""
    keys = flat(base.model_dump())
    for key in (text.partition("=")[0] for text in vary):
        if inner := next((each for each in keys if each.startswith(f"{key}.")), None):
            raise UserError(f"--vary {key}: is a section of the recipe; vary its keys one by one, such as {inner}")


def _quoted(text):
    """Text as a scalar of YAML, whose escapes, unlike JSON's, hold every character in one."""
    return json.dumps(text, ensure_ascii=False).encode("ascii", "backslashreplace").decode()


def _folder(output, row, seed):
    name = re.sub(r"[^\w.=+-]+", "_", row.name)
    # A file system takes 255 bytes.
    name = name if len(name.encode()) <= 200 else f"{name[:60]}_{zlib.crc32(row.name.encode()):08x}"
    return output / "runs" / name / f"seed_{seed}"


def _judged_on(dataset, root, test_split, within_category):
    """The `ScoredImages`, or None, and the sentence on what is judged."""
    if dataset is None:
        for option, value in (("root", root), ("test-split", test_split), ("within-category", within_category)):
            if value is not None:
                raise UserError(f"--{option} {value}: of which data set? name it by --dataset")
        return None, KNOWN_COMPLEXITY
    from clicv2_keras.data.labelled.scored_sets import open_scored
    from clicv2_keras.evaluation.folds import make_folds

    if isinstance(dataset, str) and root is None:
        raise UserError(f"--dataset {dataset}: name by --root where it lies")
    dataset = open_scored(dataset, root, within_category)

    _, sentence = make_folds(dataset, test_split)
    within = ", within each category" if dataset.ranked_within_category else ""
    return dataset, f"agreement with people on {dataset.name}{within}: {sentence}"
