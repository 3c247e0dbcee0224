"""The newest weights of a long run as one small file, so that a lost machine costs the moments and not the run.

    python scripts/training_state.py save RUN OUTPUT.npz          # of the run folder's newest checkpoint
    python scripts/training_state.py restore STATE.npz RECIPE [KEY=VALUE …]

`save` writes what the run trains or measured, in float16, and the average of its weights, where it keeps one: not the
optimizer's moments, nor what stays as it was (a frozen stem's network, a teacher). `restore` makes a run folder of the
recipe (its `run.dir`) with a checkpoint of that step and fresh moments; `clicv2-keras train RECIPE --resume` goes on
from there.
"""

import sys
from pathlib import Path

import numpy as np

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.checkpoints import Checkpoints
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.utils.atomic_files import atomic_write
from clicv2_keras.utils.backend import choose_backend


def built(recipe):
    """The recipe's model, the variables that are kept, in order, and the averages of those that are trained."""
    choose_backend(recipe.backend)
    # On demand: they import keras, whose backend is chosen now.
    from clicv2_keras.training.build import build_model
    from clicv2_keras.training.source import label_sets
    from clicv2_keras.training.weight_average import weights_and_averages

    model = build_model(recipe, label_sets(recipe))
    parts = [model.guide.teacher] if model.guide is not None else []
    if model.encoder.stem is not None and recipe.encoder.stem_rate == 0:
        parts.append(model.encoder.stem.features)
    same = {id(variable) for part in parts if part is not None for variable in part.variables}
    averages = [average for _, average in weights_and_averages(model.optimizer)] if model.optimizer.use_ema else []
    return model, [variable for variable in model.variables if id(variable) not in same], averages


def save(run, output):
    recipe = load_recipe(Path(run) / "recipe.yaml")
    model, variables, averages = built(recipe)
    checkpoints = Checkpoints(Path(run) / "checkpoints", recipe.run.keep_checkpoints)
    step = checkpoints.steps()[-1]
    checkpoints.load(model, step)
    values = [np.asarray(variable) for variable in variables + averages]
    values = [v.astype("float16") if v.dtype == np.float32 else v for v in values]
    with atomic_write(output) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, step=step, **{f"{i:05d}": value for i, value in enumerate(values)})
    print(f"{output}: {len(values)} variables of step {step}, {Path(output).stat().st_size / 1e6:.1f} MB")


def restore(state, recipe, overrides):
    recipe = load_recipe(recipe, overrides)
    model, variables, averages = built(recipe)
    folder = RunFolder(recipe)
    with np.load(state) as saved:
        if averages and len(saved.files) == 1 + len(variables):
            sys.exit(f"{state}: holds no average of weights; leave optimizer.average out")
        folder.open(resume=False)
        step = int(saved["step"])
        for i, variable in enumerate(variables + averages):
            variable.assign(saved[f"{i:05d}"])
    # Else the rate would begin anew.
    model.optimizer._iterations.assign(step * recipe.train.accumulate)
    folder.checkpoints.save(model, step)
    print(f"{folder.path}: a run at step {step} with fresh moments; go on with --resume")


if __name__ == "__main__":
    if sys.argv[1:2] == ["save"] and len(sys.argv) == 4:
        save(*sys.argv[2:])
    elif sys.argv[1:2] == ["restore"] and len(sys.argv) >= 4:
        restore(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        sys.exit(__doc__)
