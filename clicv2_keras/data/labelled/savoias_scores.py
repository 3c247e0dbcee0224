"""The two forms in which the repository of Savoias gives the scores of a category."""

import io
import math
import pickle
import re
import zipfile
from pathlib import Path, PurePath

import numpy as np

from clicv2_keras.data.labelled.labels import parse_score
from clicv2_keras.utils.errors import UserError, install_hint

# The repository's files have some kilobytes and some hundred rows.
MOST_BYTES, MOST_INFLATED, MOST_ROWS, MOST_COLUMNS = 16 * 2**20, 256 * 2**20, 100_000, 1000
# Of all arrays of a pickle, in which one buffer may stand for many.
MOST_VALUES = 10 * MOST_ROWS


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
    data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    if data is None:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes are too many for scores; take the repository's file")
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if dtype.hasobject:
        # Python 2 wrote some of these files: its strings are read as latin-1.
        values = _plain(_NumbersUnpickler(stream, encoding="latin1").load())
    else:
        if math.prod(shape) * dtype.itemsize > len(data):
            raise ValueError("it is cut off")
        values = np.load(io.BytesIO(data)).squeeze().tolist()
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], dict):
        (values,) = values
    for number, value in (values if isinstance(values, dict) else dict(enumerate(values))).items():
        if isinstance(value, list | tuple):
            name, value = value
            yield PurePath(name).stem, _plain(value)
        else:
            yield str(number), _plain(value)


class _DType:
    """Stands in for `numpy.dtype` in a pickle: numbers, strings and objects, nothing else."""

    def __init__(self, code, *_):
        if not re.fullmatch(r"O8?|[iuf][1248]|[SU]\d{1,4}", code):
            raise pickle.UnpicklingError(f"it holds a dtype {code!r:.40}")
        self.code, self.order = code, "<"

    def set_state(self, state):
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it holds a dtype of no byte order")
        self.order = state[1]

    def read(self, data):
        """The values of a buffer, a list."""
        if self.code[0] == "O":
            raise pickle.UnpicklingError("it would make objects of bytes")
        if not isinstance(data, bytes) or len(data) > MOST_VALUES:
            raise pickle.UnpicklingError("it holds a buffer that is none, or too long")
        return np.frombuffer(data, np.dtype(self.order + self.code)).tolist()


class _Array:
    """Stands in for a `numpy.ndarray` of whatever shape: its values in a list."""

    values = ()

    def set_state(self, state):
        _, _, dtype, _, content = state
        self.values = content if isinstance(content, list) else dtype.read(content)


def _reconstruct(*_):
    return _Array()


def _scalar(dtype, data):
    (value,) = dtype.read(data)
    return value


def _encode(text, _="latin1"):
    return text.encode("latin1")


class _NumbersUnpickler(pickle._Unpickler):
    """Reads the pickle of an array of numbers and names, and calls nothing of NumPy: its own functions believe whatever
    a file says of shapes and buffers.

    The one in Python, not the one in C, whose memory a file can ask for at will.
    """

    values_read = 0
    dispatch = dict(pickle._Unpickler.dispatch)
    stand_ins = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _DType, ("_codecs", "encode"): _encode} | {
        (module, name): stand_in
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, stand_in in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    }

    def find_class(self, module, name):
        if (module, name) not in self.stand_ins:
            raise pickle.UnpicklingError(f"it would load {module}.{name}")
        return self.stand_ins[module, name]

    def load_build(self):
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, _Array | _DType):
            raise pickle.UnpicklingError(f"it would change a {type(target).__name__}")
        target.set_state(state)
        if isinstance(target, _Array):
            self.values_read += len(target.values)
            if self.values_read > MOST_VALUES:
                raise pickle.UnpicklingError("it holds too many values")

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def _plain(value):
    return value.values if isinstance(value, _Array) else value


def _from_xlsx(path):
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(f"{path}: reading it needs openpyxl; {install_hint('train')}") from None
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_INFLATED:
            raise ValueError("it inflates to more than 256 MB")
    workbook = load_workbook(path, read_only=True, data_only=True)
    # A row or a cell may bear any number, and those before it would be made up.
    sheet = workbook.active
    head = next(sheet.iter_rows(max_row=1, max_col=MOST_COLUMNS, values_only=True), ())
    names = [str(cell).strip().lower() for cell in head]
    column = names.index("gt") + 1 if "gt" in names else 1
    rows = sheet.iter_rows(max_row=MOST_ROWS, min_col=column, max_col=column, values_only=True)
    cells = [cell for (cell,) in rows]
    workbook.close()
    cells = cells[parse_score(cells[0]) is None :]
    return [(str(number), cell) for number, cell in enumerate(cells) if cell is not None]
