import csv
import io
import json
import os
import zlib

import yaml

from clicv2_keras.ablation.ablation import FIGURES
from clicv2_keras.recipe.files import read_started
from clicv2_keras.recipe.text import flat
from clicv2_keras.utils.atomic_files import atomic_write, write_csv
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import FolderLock

_FIRST, _LAST = ("row", "seed"), ("steps", "images", *FIGURES, "seconds", "error")
_NUMBERS = {"seed": int, "steps": int, "images": int, "seconds": float, **dict.fromkeys(FIGURES, float)}


class OutputFolder:
    """`ablation.csv`, `ablation.png`, `ablation.yaml` (what all runs have in common) and the run folders below `runs/`.

    Every file appears whole or not at all. A folder collects: other rows and more seeds of the same recipe add to it.

    Args:
        path: the folder; made by `open`.
    """

    def __init__(self, path):
        self.path = path
        self._lock = None

    def open(self, plan):
        """Make the folder, or open it again; returns the rows it holds, see `Ablation`.

        Raises:
            UserError: where it holds the ablation of another recipe, another process works there, or it cannot be
                written to.
        """
        common = flat(plan.recipe.model_dump(exclude={"name", "seed", "run"}))
        backend = plan.recipe.backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
        common |= {"backend": backend, "judged by": plan.protocol}
        if plan.data is not None:
            common["labels of checksum"] = _checksum(plan.data)
        self.common = common
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._lock or FolderLock(self.path)
            started = self.path / "ablation.yaml"
            if started.exists():
                self._compare(read_started(started, "the ablation goes on as it is called"), common)
            self._write("ablation.yaml", yaml.safe_dump(common, sort_keys=False, allow_unicode=True).encode())
        except OSError as error:
            raise UserError(f"--output {self.path}: {error.strerror}; name a folder that can be written to") from None
        return self._read()

    def close(self):
        """Let others work there again."""
        if self._lock:
            self._lock.release()
            self._lock = None

    def save(self, ablation):
        """Write `ablation.csv`."""
        names = dict.fromkeys(name for row in ablation.rows for name in row)
        varied = [name for name in names if name not in _FIRST and name not in _LAST]
        columns = [*_FIRST, *varied, *(name for name in _LAST if name in names)]
        # A row that is silent on a key that others vary has the recipe's own value.
        own = {key: str(self.common[key]) for key in varied}
        rows = (own | row for row in ablation.rows)
        write_csv(self.path / "ablation.csv", columns, ([row.get(name) for name in columns] for row in rows))

    def plot(self, ablation):
        """Draw `ablation.png`."""
        from clicv2_keras.ablation.figure import draw

        image = io.BytesIO()
        draw(ablation).savefig(image, format="png", dpi=130)
        self._write("ablation.png", image.getvalue())

    def _read(self):
        path = self.path / "ablation.csv"
        if not path.exists():
            return []
        try:
            with open(path, newline="", encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
            rows = [_row(line) for line in lines]
        except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
            raise UserError(f"{path}: is no table of an ablation ({error}); move it away") from None
        for name in {name for line in lines for name in line}:
            if name not in (*_FIRST, *_LAST, *self.common):
                raise UserError(
                    f"{path}: {name or 'a cell beyond the header'} is no key of a recipe; take it out, or move the "
                    "table away"
                )
        return rows

    def _compare(self, theirs, mine):
        for key in mine:
            if mine[key] != theirs.get(key, mine[key]):
                raise UserError(
                    f"{self.path}: was started with {key} {theirs[key]}, not {mine[key]}; go on with the same, or take "
                    "another --output"
                )

    def _write(self, name, content):
        with atomic_write(self.path / name) as unfinished:
            unfinished.write_bytes(content)


def _checksum(data):
    """Of the names, scores and parts of `ScoredImages`: two sets may have one name."""
    text = json.dumps([data.names, data.scores.tolist(), data.categories.tolist(), data.splits.tolist()])
    return f"{zlib.crc32(text.encode()):08x}"


def _row(line):
    row = {name: _NUMBERS.get(name, str)(text) for name, text in line.items() if text != "" or name == "error"}
    return {"row": row.pop("row"), "seed": row.pop("seed"), **row}
