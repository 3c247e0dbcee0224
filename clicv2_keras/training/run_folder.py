"""What a run leaves behind."""

import contextlib
import csv
import functools
import os
import shutil

from clicv2_keras.recipe.files import read_started
from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.recipe.text import flat, recipe_yaml
from clicv2_keras.training.checkpoints import Checkpoints, find_checkpoint
from clicv2_keras.training.run_inputs import NAME as INPUTS
from clicv2_keras.utils.atomic_files import atomic_write, save_model, write_csv, write_text
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import FolderLock, user_path
from clicv2_keras.utils.text import drawable

COLUMNS = (
    "step",
    "loss",
    "contrastive_loss",
    "entropy_loss",
    "embedding_std",
    "effective_rank",
    "retrieval",
    "guide_loss",
    "guide_grid",
    "guide_pooled",
    "held_out_grid",
    "held_out_pooled",
    "learning_rate",
    "images_per_second",
    "data_wait",
    "probe_pcc",
    "probe_srcc",
    "label_loss",
    "label_error",
    "average_held_out_grid",
    "average_held_out_pooled",
    "average_probe_pcc",
    "average_probe_srcc",
    "layout_retrieval",
    "order",
)
# What a run writes for its reader.
FILES = (
    "metrics.csv",
    "log.txt",
    INPUTS,
    "losses.png",
    "model.keras",
    "encoder.keras",
    "encoder_ema.keras",
    "encoder_best.keras",
    "scorer.keras",
)
# Of `losses.png`.
PANELS = (
    ("contrastive_loss", "entropy_loss", "guide_loss", "label_loss"),
    ("embedding_std", "retrieval", "layout_retrieval", "order", "guide_grid", "guide_pooled"),
    ("effective_rank",),
)


def by_the_first(method):
    """A method that writes: in the other processes of a run it does nothing."""

    @functools.wraps(method)
    def alone(self, *args):
        if self.is_first:
            method(self, *args)

    return alone


class RunFolder:
    """`recipe.yaml`, `metrics.csv`, `losses.png`, `log.txt`, `model.keras`, the encoder alone, and the checkpoints.

    `encoder.keras` is what the optimizer trained, `encoder_ema.keras` the moving average of its weights, where there is
    one; `encoder_best.keras` what the probe liked best; `scorer.keras` the scorer of a run with labels, or of one
    that is guided by pixels.

    Every file appears whole or not at all; only `log.txt` grows line by line.

    `rows` are those of `metrics.csv`: numbers by column, without the columns that have no value; `step` is an int.

    Args:
        recipe: the `Recipe`; its `run.dir` is the folder.
        process: number of this process in the run. The first, 0, alone writes, and shows and reports what the run does.
    """

    def __init__(self, recipe, process=0):
        self.recipe = recipe
        self.process = process
        self.path = user_path(recipe.run.dir or f"runs/{recipe.name}")
        self.checkpoints = Checkpoints(self.path / "checkpoints", recipe.run.keep_checkpoints)
        self.rows = []
        self._lock = None
        self._is_new, self._taken, self._before = False, None, set()

    @property
    def is_first(self):
        """Whether this is the process that writes and reports; the one place where the number is asked."""
        return self.process == 0

    @property
    def is_begun(self):
        """Whether the folder holds a run."""
        return (self.path / "recipe.yaml").exists()

    def check(self, resume):
        """Find out, without a change to the folder, whether `open` would take it.

        Returns:
            Whether it holds a run.

        Raises:
            UserError: where it holds a run and `resume` is False, or the run of another recipe, or files that a run
                would replace, or is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: run.dir: is a file; name a folder")
        if not self.is_begun:
            for path in (self.path / name for name in FILES):
                if path.exists() and not _is_ours(path):
                    raise UserError(f"{self.path}: run.dir: holds a {path.name} but no run; name another folder")
            return False
        if not resume:
            raise UserError(f"{self.path}: holds a run; add --resume to continue it, or take another run.dir")
        self._compare(read_started(self.path / "recipe.yaml", "the run goes on as the recipe that is given says"))
        return True

    def find_begin(self, place, resume):
        """The checkpoint that `--from` names, by `find_checkpoint`; None where none is, or where this run goes on."""
        if not place or (resume and self.is_begun):
            # The other run may have dropped that step since.
            return None
        path = find_checkpoint(place, self.recipe.train.steps)
        labels, began = self.recipe.labels.model_dump(), path.parents[1] / "recipe.yaml"
        if self.recipe.labels.dataset is not None and began.is_file():
            theirs = read_started(began, "name another run").get("labels") or {}
            for key in ("dataset", "root", "splits"):
                if theirs.get(key) != labels[key]:
                    # What the head was fitted to there, the scorer of this run would be judged on.
                    was = f"its labels.{key} is {theirs.get(key)}, not {labels[key]}"
                    raise UserError(f"--from {place}: {was}; take the same labels")
        return path

    def open(self, resume, begin=None):
        """Make the folder, or open it again.

        Args:
            resume: open it again where it is there.
            begin: the checkpoint of another run, of the same model, that a new run begins from; a `Path`.

        Returns:
            The step to go on from, and one line about each checkpoint that was passed over because it is broken.

        Raises:
            UserError: as `check` does, and where another process trains there.
        """
        started = self.check(resume)
        self._is_new = not started
        self.path.mkdir(parents=True, exist_ok=True)
        self._before = set(os.listdir(self.path))
        self._lock = FolderLock(self.path)
        try:
            rows = self._read_rows()
            if begin and not started:
                self._taken = self.checkpoints.take(begin)
            self.write("recipe.yaml", recipe_yaml(self.recipe))
            broken = self.checkpoints.set_broken_aside()
            step = max(self.checkpoints.steps(), default=0)
            self.rows = [row for row in rows if row["step"] <= step]
            self._write_rows()
        except BaseException:
            self.close()
            raise
        return step, broken

    def close(self):
        """Let others work there again."""
        if self._lock:
            self._lock.release()
            self._lock = None

    @by_the_first
    def withdraw(self):
        """Take back a run that `open` began and that has made no step: what was wrong can be mended in its place."""
        if not self._is_new:
            return
        for name in ("recipe.yaml", "metrics.csv", "log.txt", INPUTS):
            (self.path / name).unlink(missing_ok=True)
        # Somebody's own is no run's.
        if "tensorboard" not in self._before:
            shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
        if self._taken:
            self._taken.unlink()
        self.close()
        for folder in (self.checkpoints.folder, self.path):
            with contextlib.suppress(OSError):  # something else is in it, or it was never there
                folder.rmdir()

    @by_the_first
    def add_row(self, row):
        """Append a row to `metrics.csv`."""
        self.rows.append({key: row[key] for key in COLUMNS if key in row})
        self._write_rows()

    @by_the_first
    def save(self, model, name):
        """Save a keras model as `name`."""
        save_model(model, self.path / name)

    @by_the_first
    def save_checkpoint(self, model, step):
        """Write the checkpoint of `step`; see `Checkpoints.save`."""
        self.checkpoints.save(model, step)

    @by_the_first
    def write(self, name, text):
        """Write a text file."""
        write_text(self.path / name, text)

    @by_the_first
    def plot(self):
        """Draw `losses.png` from the rows."""
        from matplotlib.figure import Figure

        steps = [row["step"] for row in self.rows]
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        for axes, names in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
            for name in names:
                if any(name in row for row in self.rows):
                    values = [row.get(name, float("nan")) for row in self.rows]
                    axes.plot(steps, values, label=name.replace("_", " "))
            axes.set_xlabel("step")
            axes.legend()
        figure.suptitle(drawable(self.recipe.name), parse_math=False)
        with atomic_write(self.path / "losses.png") as unfinished:
            figure.savefig(unfinished, dpi=120)

    def _compare(self, started):
        """The recipe of the folder must be this one, but for its devices, how often it reports and where it lies."""
        mine = flat(self.recipe.model_dump(exclude={"run", "distribution"}))
        # A key that came after the run began had the value that is now its default.
        theirs = flat(Recipe().model_dump()) | flat({key: value for key, value in started.items() if key != "run"})
        if None in (mine["backend"], theirs.get("backend")):
            # A run that began before this was written down, or one that is only described.
            mine.pop("backend")
        for key in mine:
            if mine[key] != theirs.get(key):
                raise UserError(
                    f"{self.path}: was started with {key} {theirs.get(key)}, not {mine[key]}; "
                    "resume with the same, or take another run.dir"
                )

    def _read_rows(self):
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
            return [row | {"step": int(row["step"])} for row in rows]
        except (ValueError, TypeError, KeyError, OverflowError, csv.Error):
            raise UserError(f"{path}: is broken; move it away, and the run goes on without its earlier rows") from None

    def _write_rows(self):
        texts = ({name: f"{value:.6g}" for name, value in row.items()} | {"step": row["step"]} for row in self.rows)
        # A column that came after the run began has no values yet.
        rows = ([row.get(name) for name in COLUMNS] for row in texts)
        write_csv(self.path / "metrics.csv", COLUMNS, rows)


def _is_ours(path):
    """Whether a file in a folder without a run is a model of this package, as `finetune` would replace it too."""
    if path.suffix != ".keras":
        return False
    # On demand: who only asks what a run would cost needs no Keras.
    from clicv2_keras.models.find_model import holds_model

    return holds_model(path)
