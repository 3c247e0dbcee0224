"""What led to an evaluation: the model's name, its recipe, the command, the versions."""

import importlib
import platform
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.paths import user_path


class Provenance(NamedTuple):
    """How the user named the model, the text of the recipe that it was trained by, and the command line that evaluates
    so; None where there is none."""

    name: str
    recipe: str | None = None
    command: str | None = None


def command_line(
    model, dataset, root, test_split, within_category, baselines, resamples, seed, untrained_seeds, against=None
):
    """The command that does what `evaluate` does with these arguments; None where there is none, as for models or data
    at hand."""
    if not _is_name(model) or not isinstance(dataset, str) or not (against is None or _is_name(against)):
        return None
    if baselines and not untrained_seeds:  # which the command line does not take
        return None
    words = ["clicv2-keras", "evaluate", str(model), "--dataset", dataset, "--root", str(root)]
    if test_split is not None:
        words += ["--test-split", test_split]
    if within_category is not None:
        words.append("--within-category" if within_category else "--pooled")
    if not baselines:
        words.append("--no-baselines")
    if against is not None:
        words += ["--against", str(against)]
    words += ["--resamples", str(resamples), "--seed", str(seed)]
    if baselines:
        words += ["--untrained-seeds", str(untrained_seeds)]
    return shlex.join(words)


def provenance_of(model, *arguments):
    """The `Provenance` of what `evaluate` makes of these arguments, as `command_line` takes them."""
    name = str(model) if _is_name(model) else type(model).__name__
    return Provenance(name, recipe_of(model), command_line(model, *arguments))


def recipe_of(model):
    """The text of the resolved recipe that a run folder or a trained preset holds; None where there is none."""
    if not _is_name(model):
        return None
    path = user_path(model)
    if path.is_file():
        return None
    folder = path if path.is_dir() else trained_presets().get(str(model))
    recipe = folder and folder / "recipe.yaml"
    return recipe.read_text(encoding="utf-8") if recipe and recipe.is_file() else None


def versions():
    """Versions by name: this package, Python, Keras, its backend, and what the figures are computed with."""
    keras = importlib.import_module("keras")
    backend = keras.backend.backend()
    return {
        "clicv2-keras": importlib.import_module("clicv2_keras").__version__,
        "Python": platform.python_version(),
        "Keras": keras.__version__,
        f"{backend} (backend)": importlib.import_module(backend).__version__,
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "pillow")},
    }


def _is_name(model):
    return isinstance(model, str | Path)
