import csv
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from clicv2_keras.data.labelled.joint_sets import set_names
from clicv2_keras.data.labelled.scored_sets import open_scored_sets
from clicv2_keras.evaluation.evaluator import Evaluator
from clicv2_keras.evaluation.folds import selection_split
from clicv2_keras.models.find_model import encoder_of
from clicv2_keras.models.optimizer import steps_taken
from clicv2_keras.utils.atomic_files import save_model, write_csv
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import StrPath, user_path

if TYPE_CHECKING:
    from clicv2_keras.data.labelled.scored_images import ScoredImages


class ComplexityProbe(keras.callbacks.Callback):
    """Asks while a model trains how far its features agree with people, and keeps the best encoder.

    The encoder's features go through the ridge of `clicv2-keras evaluate` (on tokens, their deviation and diversity),
    fitted on one part of a labelled set and judged on another, never on `test`. The training goes on as it
    would have without.

    ```python
    probe = ComplexityProbe("savoias", "~/savoias", folder="probe", every=5)
    model.fit(images, epochs=50, callbacks=[probe])
    ```

    Its figures are in `logs`, for the history and for callbacks after it: `probe_pcc` and `probe_srcc`, -1 to 1 (the
    mean of several sets; and of the categories where scores compare only within one), NaN for constant features.

    Args:
        dataset: a name of `open_scored`, `"savoias"` or `"csv"` among them; or `ScoredImages` at hand; or a list of
            them, each with a ridge of its own.
        root: the data set's folder, or the CSV file; or a list.
        folder: gets `probe.csv`, a row each time (step of the optimizer, PCC, SRCC, and of several sets the SRCC of
            each), and `encoder_best.keras`, the encoder of the highest SRCC. It goes on from the rows that are there,
            those up to the optimizer's step.
        every: epochs between two evaluations; the last epoch of a `fit` always has one.
        split: the part to judge on; see `selection_split`.
        within_category: scores can be compared only within a category; None leaves it to the data set.

    `rows` are those of `probe.csv`, numbers by column, and `best` is the one of the highest SRCC; `unreadable` are
    the `Read`s of the images that the last evaluation went without.

    Raises:
        UserError: one line on what is wrong with the data.
    """

    def __init__(
        self,
        dataset: "str | ScoredImages | Sequence[str | ScoredImages]",
        root: StrPath | Sequence[StrPath] | None = None,
        folder: StrPath = "probe",
        every: int = 1,
        split: str | None = None,
        within_category: bool | None = None,
    ) -> None:
        super().__init__()
        chosen = [selection_split(each, split) for each in open_scored_sets(dataset, root, within_category)]
        self.evaluators = [Evaluator(data, predictors=("ridge",), test_split=part) for data, part in chosen]
        names = set_names([data for data, _ in chosen]) if len(chosen) > 1 else []
        self.columns = ("step", "PCC", "SRCC", *(f"SRCC {name}" for name in names))
        self.folder = user_path(folder)
        self.every = every
        self.rows: list[dict] = []
        self.unreadable: list = []

    @property
    def best(self):
        """The row of the highest SRCC, the first of equals: numbers by column; None before there is one."""
        rows = [row for row in self.rows if not math.isnan(row["SRCC"])]
        return max(rows, key=lambda row: row["SRCC"], default=None)

    def on_train_begin(self, logs=None):
        self.begin(steps_taken(self.model.optimizer))

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]:
            figures = self.ask(self.model, steps_taken(self.model.optimizer))
            if logs is not None:
                logs |= figures

    def begin(self, step):
        """Take up the rows of `probe.csv` up to a step.

        Raises:
            UserError: where they are of other data sets.
        """
        path = self.folder / "probe.csv"
        self.rows = []
        if path.exists():
            try:
                with open(path, newline="", encoding="utf-8") as file:
                    rows = [{name: float(row[name]) for name in self.columns} for row in csv.DictReader(file)]
            except (KeyError, TypeError, ValueError, csv.Error):
                raise UserError(
                    f"{path}: is broken, or of other data sets than {', '.join(self.columns[3:]) or 'this one'}; name "
                    "another folder"
                ) from None
            self.rows = [row | {"step": int(row["step"])} for row in rows if row["step"] <= step]

    def ask(self, model, step):
        """Judge the encoder of a model: adds a row, and saves the encoder if it is the best so far.

        Returns:
            dict of `probe_pcc` and `probe_srcc`.
        """
        encoder = encoder_of(model)
        found = [evaluator.run(encoder) for evaluator in self.evaluators]
        self.unreadable = [read for each in found for read in each.unreadable]
        figures = {metric: [each.figures[f"model/ridge/{metric}"] for each in found] for metric in ("pcc", "srcc")}
        pcc, srcc = (sum(values) / len(values) for values in figures.values())
        each = figures["srcc"] if len(found) > 1 else ()
        self.folder.mkdir(parents=True, exist_ok=True)
        # Written to the last digit: a run that goes on must choose as if it had never stopped.
        self.rows.append(dict(zip(self.columns, (step, pcc, srcc, *each), strict=True)))
        # The encoder first: a kill between the two does no more than have it saved again.
        if self.best is self.rows[-1]:
            save_model(encoder, self.folder / "encoder_best.keras")
        write_csv(self.folder / "probe.csv", self.columns, (row.values() for row in self.rows))
        return {"probe_pcc": pcc, "probe_srcc": srcc}
