"""The rows of an ablation: what each of them changes in the recipe."""

import itertools
import json
from typing import NamedTuple

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.recipe.text import flat
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.text import did_you_mean

# The whole method, and the table in its order. What a row changes is where its shipped recipe differs from the whole.
WHOLE = "clicv2"
TABLE = ("random", "mocov3", "sp", "mem", "imagewise_all", "pw", WHOLE, "pw_without_sp")
# CLIC's objective, the predecessor's; and the whole method, in one part read otherwise than the paper. Likewise.
LEVERS = ("clic", "parts", "same_image", "statistics", "copies", "position")
GROUPS = {"table": TABLE, "levers": LEVERS}


class Row(NamedTuple):
    """A row by name, and its values in YAML by recipe key, in place of the recipe's own."""

    name: str
    changes: dict

    @property
    def overrides(self):
        """The changes as `load_recipe` takes them."""
        return [f"{key}={value}" for key, value in self.changes.items()]


def choose_rows(rows=None, vary=()):
    """The rows that a user names.

    Args:
        rows: "table", "levers" and names of their rows with commas between or in a list, or None: the table where
            nothing is varied.
        vary: strings `section.key=a,b,c`; a row for each combination of their values, in each of `rows`.

    Returns:
        `Row`s, no two of a name.

    Raises:
        UserError: where there is no such row, a string is not of that form, or varies what a row sets.
    """
    parts = [_table_rows(rows)] if rows or not vary else []
    varied = [_varied_rows(text) for text in vary]
    keys = [next(iter(values[0].changes)) for values in varied]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"--vary {key}: is given twice; name all its values in one, {key}=a,b,c")
    for row, key in itertools.product(parts[0] if parts else (), keys):
        if key in row.changes:
            raise UserError(
                f"--vary {key}: the row {row.name} sets it to {row.changes[key]}; name the rows that do not"
            )
    found = []
    for combination in itertools.product(*parts, *varied):
        changes = {key: value for row in combination for key, value in row.changes.items()}
        found.append(Row(" ".join(row.name for row in combination), changes))
    return found


def row_changes(names=TABLE):
    """What each row changes: {name: {key: value}}, read from the shipped recipes `ablation/NAME`."""
    flats = {name: flat(load_recipe(f"ablation/{name}").model_dump(exclude={"name"})) for name in {WHOLE, *names}}
    whole = flats[WHOLE]
    return {name: {key: value for key, value in flats[name].items() if value != whole[key]} for name in names}


def _table_rows(rows):
    rows = "table" if rows is None else rows
    asked = [name.strip() for name in rows.split(",")] if isinstance(rows, str) else list(rows)
    names = list(dict.fromkeys(name for each in asked for name in GROUPS.get(each, (each,))))
    known = (*TABLE, *LEVERS)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(
                f"--rows {name}: there is no such row; {hint}the table has {', '.join(TABLE)}; levers are "
                f"{', '.join(LEVERS)}"
            )
    changes = row_changes(names)
    return [Row(name, {key: json.dumps(value) for key, value in changes[name].items()}) for name in names]


def _varied_rows(text):
    key, equals, values = text.partition("=")
    values = [value.strip() for value in values.split(",")]
    if not equals or not all(values) or not all(key.split(".")):
        raise UserError(f"--vary {text}: write it as section.key=a,b,c, such as contrast.negatives=same_position,all")
    if key in ("name", "seed") or key.split(".")[0] == "run":
        raise UserError(f"--vary {key}: is no part of the method; how many seeds is --seeds")
    return [Row(f"{key}={value}", {key: value}) for value in dict.fromkeys(values)]
