"""An ablation, from a recipe to a table over rows and seeds."""

import contextlib
import shutil
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from clicv2_keras.ablation.ablation import Ablation
from clicv2_keras.ablation.output_folder import OutputFolder
from clicv2_keras.ablation.plan import check_images, make_plan
from clicv2_keras.ablation.worker import work
from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.recipe.text import flat
from clicv2_keras.training.stop_signals import StopSignals
from clicv2_keras.utils.errors import Interrupted
from clicv2_keras.utils.paths import StrPath
from clicv2_keras.utils.text import as_unicode


def ablate(
    recipe: StrPath,
    rows: str | None = None,
    vary: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seeds: int = 3,
    dataset: str | ScoredImages | None = None,
    root: StrPath | None = None,
    test_split: str | None = None,
    within_category: bool | None = None,
    output: StrPath | None = None,
    progress: bool = True,
) -> Ablation:
    """Train variants of a recipe over several seeds, and compare what their features are worth.

    The same call goes on where an earlier one was stopped, and trains only what is missing. The runs follow one
    another, each in a process of its own.

    Args:
        recipe: a path, or the name of a shipped recipe.
        rows: "table" (the parts of the method switched off one by one), "levers" (CLIC, and the method in one part read
            otherwise), or names of their rows, such as "clicv2,mem"; None is the table where nothing is varied.
        vary: strings `section.key=a,b,c`: a row for each value, or each combination of several.
        overrides: strings `section.key=value` in place of the recipe's values, in all rows.
        seeds: how many, from the recipe's seed upwards; at a seed all rows begin with the same encoder and images.
        dataset, root, test_split, within_category: labelled images, as for `evaluate`: the features are judged by
            agreement with people. Without, by the known complexity of unseen procedural images.
        output: the folder of the results; None is `runs/ablate_NAME`. Holds `ablation.csv`, `ablation.png`, and the
            runs below `runs/`, without checkpoints once they have ended.
        progress: print a line a run.

    Returns:
        An `Ablation`: everything that the folder holds.

    Raises:
        UserError: one line on what is wrong with the recipe, the rows, the data or the folder.
        ResourceLost: where the disk is full or the images are gone, or a run's process died.
        Interrupted: after SIGTERM or Ctrl-C, with a checkpoint saved.
    """
    plan = make_plan(recipe, rows, vary, overrides, seeds, dataset, root, test_split, within_category, output)
    check_images(plan)
    with contextlib.closing(OutputFolder(plan.output)) as folder:
        return _run(plan, folder, progress)


def _run(plan, folder, progress):
    ablation = Ablation(folder.open(plan), plan.protocol, notes=[])
    done = {(row["row"], row["seed"]) for row in ablation.rows}
    missing = [run for run in plan.runs if (run.row.name, run.seed) not in done]
    total, ended = len(plan.runs), len(plan.runs) - len(missing)
    console = Console(quiet=not progress, highlight=False, soft_wrap=True)
    console.print(f"{total} runs, {len(missing)} of them to do, into {plan.output}", markup=False)
    with StopSignals() as stop:
        for run in missing:
            where, start = f"{ended + 1}/{total} {run.row.name}, seed {run.seed}", time.perf_counter()
            with console.status(
                escape(f"{where}: {run.recipe.train.steps} steps, see {run.recipe.run.dir}/metrics.csv")
            ):
                outcome = work(run, plan.data, plan.test_split, stop)
            if outcome:
                ended += 1
                row = _row(run, plan, outcome, time.perf_counter() - start)
                ablation.rows.append(row)
                ablation.rows.sort(key=_order(plan))
                ablation.notes += [note for note in outcome.notes if note not in ablation.notes]
                folder.save(ablation)
                if not outcome.diverged:  # else the last good checkpoint may be of use
                    shutil.rmtree(f"{run.recipe.run.dir}/checkpoints", ignore_errors=True)
                console.print(f"{where}: {_line(row, ablation)}", markup=False)
            if stop.requested:
                folder.plot(ablation)
                line = f"{plan.output}: stopped after {ended} of {total} runs; the same command goes on from there"
                raise Interrupted(line, stop.requested)
    folder.plot(ablation)
    return ablation


def _row(run, plan, outcome, seconds):
    """A run's row of the CSV; rounded, so that it is the same as read back."""
    values = flat(run.recipe.model_dump())
    varied = {key: str(values[key]) for key in plan.keys if key != "train.steps"}
    row = {"row": run.row.name, "seed": run.seed, **varied, "steps": run.recipe.train.steps, "images": run.images}
    row |= {name: round(value, 6) for name, value in outcome.figures.items()}
    return row | {"seconds": round(seconds, 1), "error": as_unicode(outcome.diverged)}


def _order(plan):
    """Sorts rows as the plan has them, seed by seed below each; those of earlier plans stay behind."""
    names = [row.name for row in plan.rows]
    return lambda row: (names.index(row["row"]) if row["row"] in names else len(names), row["row"], row["seed"])


def _line(row, ablation):
    figure = next((name for name in ablation.figures if name in row), None)
    found = row["error"] or f"{figure} {row[figure]:.3f}"
    return f"{found}, {row['seconds']:.0f} s"
