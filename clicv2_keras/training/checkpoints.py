"""What a run can go on from, each checkpoint one file."""

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np

from clicv2_keras.utils.atomic_files import atomic_write, naming
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path

_NAME = re.compile(r"step_(\d+)\.npz")


class Checkpoints:
    """The newest `keep` checkpoints in a folder: each is there whole or not at all, and knows whether it still is.

    A checkpoint is a `.npz` file with every variable: weights and teacher, the optimizer's state and its step, the
    random states, and the sums of the metrics since the last row. The position in the data is the step.
    """

    def __init__(self, folder, keep):
        self.folder = Path(folder)
        self.keep = keep

    def steps(self):
        """The steps that have a checkpoint, in ascending order."""
        return sorted(step_of(path) for path in self.folder.glob("*") if _NAME.fullmatch(path.name))

    def path(self, step):
        return self.folder / f"step_{step:08d}.npz"

    def last(self):
        """One phrase that names the last checkpoint."""
        steps = self.steps()
        return f"last good checkpoint: {self.path(steps[-1])}" if steps else "no checkpoint yet"

    def newest(self):
        """The path of the newest whole checkpoint, which `set_broken_aside` would go on from; None without one."""
        return next((path for path in map(self.path, reversed(self.steps())) if _is_whole(path)), None)

    def save(self, model, step):
        """Write the checkpoint of `step`, then drop the oldest.

        Raises:
            OSError: naming the file; the other checkpoints are untouched.
        """
        from keras.ops import convert_to_numpy

        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path(step)) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
            for name, variable in _variables(model):
                with archive.open(name, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(convert_to_numpy(variable)), allow_pickle=False)
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink()

    def take(self, path):
        """Copy another run's checkpoint; returns where it is here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        here = self.folder / path.name
        with atomic_write(here) as unfinished:
            shutil.copyfile(path, unfinished)
        return here

    def set_broken_aside(self):
        """Rename what is newer than the newest whole checkpoint to `broken_…`, and return one line about each."""
        lines = []
        while steps := self.steps():
            path = self.path(steps[-1])
            if _is_whole(path):
                break
            path.replace(path.with_name(f"broken_{path.name}"))
            before = f"step {steps[-2]}, the one before it" if len(steps) > 1 else "step 0: there is no other"
            lines.append(f"{path} is broken, now broken_{path.name}; going on from {before}")
        return lines

    def load(self, model, step):
        """Bring `model`, whose optimizer is built, to the state of `step`.

        Raises:
            UserError: where the checkpoint is of another model.
        """
        path, variables = self.path(step), _variables(model)
        with zipfile.ZipFile(path) as archive:
            # The sums of a metric that came after the checkpoint was written begin at 0; they stand last.
            new = {id(variable) for variable in model.metrics_variables}
            there = archive.namelist()
            missing = variables[len(there) :]
            variables = variables[: len(there)]
            agrees = there == [name for name, _ in variables] and all(id(each) in new for _, each in missing)
            # Before any of them is changed.
            if not agrees or any(_shape(archive, name) != tuple(variable.shape) for name, variable in variables):
                raise UserError(f"{path}: holds other variables than the model has; start anew with another run.dir")
            for name, variable in variables:
                with archive.open(name) as file:
                    variable.assign(np.lib.format.read_array(file, allow_pickle=False))


def _shape(archive, name):
    """That of an array in a checkpoint, as its header says."""
    with archive.open(name) as file:
        np.lib.format.read_magic(file)
        return np.lib.format.read_array_header_1_0(file)[0]


def step_of(path):
    """The step of a checkpoint, an int, by its name."""
    return int(_NAME.fullmatch(path.name)[1])


def find_checkpoint(place, steps):
    """The checkpoint that `--from` names, a `Path`.

    Args:
        place: a run folder, or FOLDER@STEP; without a step the newest.
        steps: where the new run ends; the checkpoint must come before.

    Raises:
        UserError: where there is none such, or it is broken.
    """
    folder, step = str(place), ""
    # A run's own name may end so.
    if re.search(r"@\d+$", folder) and not user_path(folder).is_dir():
        folder, _, step = folder.rpartition("@")
    checkpoints = Checkpoints(user_path(folder) / "checkpoints", keep=0)
    there = checkpoints.steps()
    if not there:
        raise UserError(f"{place}: there is no run with a checkpoint; name a run folder, or FOLDER@STEP")
    step = int(step) if step else there[-1]
    if step not in there:
        raise UserError(f"{place}: has no checkpoint of step {step}; there are {', '.join(map(str, there))}")
    if step >= steps:
        raise UserError(f"{place}: is at step {step} already; a run from there needs more than that of train.steps")
    path = checkpoints.path(step)
    if not _is_whole(path):
        raise UserError(f"{place}: {path.name} is broken; name another step by FOLDER@STEP")
    return path


def _variables(model):
    """(name in the file, variable) of all that training changes."""
    guide = getattr(model, "guide", None)
    # A teacher never changes, and may be many times as large as all the rest.
    taught = {id(v) for v in guide.teacher.variables} if guide is not None and guide.teacher is not None else set()
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    variables = [variable for variable in variables if id(variable) not in taught]
    # Keras counts layers through the process: `dense_7` may be `dense_31` in the next one.
    plain = [re.sub(r"_\d+(?=[_/]|$)", "", variable.path).replace("/", ".") for variable in variables]
    return [(f"{i:05d}.{name}.npy", variable) for i, (name, variable) in enumerate(zip(plain, variables, strict=True))]


def _is_whole(path):
    """Whether every part of a zip file has its checksum."""
    with naming(path), open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is None
        except Exception:  # zipfile raises whatever a broken file leads it to
            return False
