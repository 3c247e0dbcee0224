"""What a run leaves behind."""

import csv
import io
import sys
import time
from pathlib import Path

import yaml

from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.recipe.text import flat, recipe_yaml
from clicv2_keras.training.callbacks.events import cut_events
from clicv2_keras.training.checkpoints import Checkpoints
from clicv2_keras.utils.atomic_files import atomic_write, naming, save_model, write_text
from clicv2_keras.utils.errors import UserError

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
)


class RunFolder:
    """`recipe.yaml`, `metrics.csv`, `losses.png`, `log.txt`, `model.keras`, the encoder alone, and the checkpoints.

    `encoder.keras` is what the optimizer trained, `encoder_ema.keras` the moving average of its weights, where there is
    a teacher; `encoder_best.keras` what the probe liked best.

    Every file appears whole or not at all; only `log.txt` grows line by line.

    Args:
        recipe: the `Recipe`; its `run.dir` is the folder.
        process: number of this process in the run. Process 0 alone writes; the others tell their log on stderr.
    """

    def __init__(self, recipe, process=0):
        self.recipe = recipe
        self.process = process
        self.path = Path(recipe.run.dir or f"runs/{recipe.name}")
        self.checkpoints = Checkpoints(self.path / "checkpoints", recipe.run.keep_checkpoints)
        self.rows = []

    def open(self, resume, begin=None):
        """Make the folder, or open it again.

        Args:
            resume: open it again where it is there.
            begin: the checkpoint of another run, of the same model, that a new run begins from; a `Path`.

        Returns:
            The step to go on from, and one line about each checkpoint that was passed over because it is broken.

        Raises:
            UserError: where it holds a run and `resume` is False, or holds the run of another recipe.
        """
        started = self.path / "recipe.yaml"
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: run.dir: is a file; name a folder")
        if started.exists():
            if not resume:
                raise UserError(f"{self.path}: holds a run; add --resume to continue it, or --set run.dir=ANOTHER")
            self._compare(yaml.safe_load(started.read_text(encoding="utf-8")))
        self.path.mkdir(parents=True, exist_ok=True)
        if begin and not started.exists():
            self.checkpoints.take(begin)
        self.write("recipe.yaml", recipe_yaml(self.recipe))
        broken = self.checkpoints.set_broken_aside()
        step = max(self.checkpoints.steps(), default=0)
        self.rows = [row for row in self._read_rows() if int(row["step"]) <= step]
        self._write_rows()
        cut_events(self.path / "tensorboard", step)
        return step, broken

    def add_row(self, row):
        """Append a row to `metrics.csv`; columns without a value stay empty."""
        self.rows.append({key: _text(row.get(key, "")) for key in COLUMNS})
        self._write_rows()

    def log(self, line):
        """Append a line to `log.txt`, with the time."""
        if self.process:
            print(f"process {self.process}: {line}", file=sys.stderr)
            return
        path = self.path / "log.txt"
        with naming(path), open(path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    def save(self, model, name):
        """Save a keras model as `name`."""
        if self.process:
            return
        save_model(model, self.path / name)

    def write(self, name, text):
        """Write a text file."""
        if self.process:
            return
        write_text(self.path / name, text)

    def plot(self):
        """Draw `losses.png` from the rows."""
        if self.process:
            return
        from matplotlib.figure import Figure

        steps = [int(row["step"]) for row in self.rows]
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        panels = (
            ("contrastive_loss", "entropy_loss", "guide_loss"),
            ("embedding_std", "retrieval", "guide_grid", "guide_pooled"),
            ("effective_rank",),
        )
        for axes, names in zip(figure.subplots(1, len(panels)), panels, strict=True):
            for name in names:
                if not any(row[name] for row in self.rows):
                    continue
                values = [float(row[name]) if row[name] else float("nan") for row in self.rows]
                axes.plot(steps, values, label=name.replace("_", " "))
            axes.set_xlabel("step")
            axes.legend()
        figure.suptitle(self.recipe.name)
        with atomic_write(self.path / "losses.png") as unfinished:
            figure.savefig(unfinished, dpi=120)

    def _compare(self, started):
        """The recipe of the folder must be this one, but for its devices, how often it reports and where it lies."""
        mine = flat(self.recipe.model_dump(exclude={"run", "distribution"}))
        # A key that came after the run began had the value that is now its default.
        theirs = flat(Recipe().model_dump()) | flat({key: value for key, value in started.items() if key != "run"})
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
        with open(path, newline="", encoding="utf-8") as file:
            # A column that came after the run began has no values yet.
            return [dict.fromkeys(COLUMNS, "") | row for row in csv.DictReader(file)]

    def _write_rows(self):
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        self.write("metrics.csv", text.getvalue())


def _text(value):
    return f"{value:.6g}" if isinstance(value, float) else value
