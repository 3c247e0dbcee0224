"""The two forms in which the repository of Savoias gives the scores of a category."""

import pickle
from pathlib import Path, PurePath

import numpy as np

from clicv2_keras.data.labelled.labels import parse_score
from clicv2_keras.utils.errors import UserError

# What a NumPy array of numbers and names needs. Any other name in a pickle could run a stranger's code.
_HARMLESS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    *(
        (module, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ),
}


def read_savoias_scores(path):
    """The scores of one category.

    Args:
        path: a `global_ranking_*.npy` or `.xlsx`.

    Returns:
        A list of (stem, score): the image's name without ending, and a float as given.

    Raises:
        UserError: where the file is not in that form.
    """
    path = Path(path)
    try:
        rows = list(_from_npy(path) if path.suffix.lower() == ".npy" else _from_xlsx(path))
    except UserError:
        raise
    except Exception as error:  # a broken pickle or workbook raises whatever it leads to
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: these are no Savoias scores ({reason}); take the repository's file") from None
    scores = [(stem, parse_score(value)) for stem, value in rows]
    for stem, score in scores:
        if score is None:
            raise UserError(f"{path}: the score of image {stem} is no number; take the repository's file")
    return scores


def _from_npy(path):
    with open(path, "rb") as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        dtype = header(stream)[-1]
        # Python 2 wrote some of these files: its strings are read as latin-1.
        values = _NumbersUnpickler(stream, encoding="latin1").load() if dtype.hasobject else np.load(path)
    values = values.item() if values.ndim == 0 else dict(enumerate(values.squeeze().tolist()))
    for number, value in values.items():
        if isinstance(value, (list, tuple, np.ndarray)):
            name, value = value
            yield PurePath(name).stem, value
        else:
            yield str(number), value


class _NumbersUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it would load {module}.{name}")
        return super().find_class(module, name)


def _from_xlsx(path):
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(f"{path}: reading it needs openpyxl; install clicv2-keras[train]") from None
    workbook = load_workbook(path, read_only=True, data_only=True)
    rows = [list(row) for row in workbook.active.iter_rows(values_only=True)]
    workbook.close()
    head = [str(cell).strip().lower() for cell in rows[0]] if rows else []
    column = head.index("gt") if "gt" in head else 0
    cells = [row[column] if column < len(row) else None for row in rows[parse_score(rows[0][column]) is None :]]
    return [(str(number), cell) for number, cell in enumerate(cells) if cell is not None]
