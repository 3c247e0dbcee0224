"""From a YAML file, the recipes it extends and overrides to a valid `Recipe`."""

import contextlib
import reprlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from clicv2_keras.recipe.checks import mistakes
from clicv2_keras.recipe.schema import Recipe
from clicv2_keras.recipe.yaml_text import parse_yaml
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import package_data
from clicv2_keras.utils.paths import StrPath, check_local, user_path
from clicv2_keras.utils.text import did_you_mean

OVERRIDE = "--set"
# No key lies so deep.
DEEPEST = 9
# What a message shows of a value.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200


def load_recipe(recipe: Recipe | StrPath, overrides: Sequence[str] = ()) -> Recipe:
    """Read, combine and check a recipe.

    Args:
        recipe: a path, the name of a shipped recipe (`quickstart`, `recipes/quickstart.yaml`), or a `Recipe`.
        overrides: strings `section.key=value`, the value in YAML; they win over the file.

    Returns:
        The complete `Recipe`.

    Raises:
        UserError: one line with the file, the key and what is allowed.
    """
    if isinstance(recipe, Recipe):
        values, origins, named = recipe.model_dump(), dict(recipe._origins), recipe.name
    else:
        (values, origins), named = _read(find_recipe(recipe), ()), str(recipe)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")) or key.count(".") > DEEPEST:
            raise UserError(f"{OVERRIDE} {override[:200]}: write it as section.key=value, such as train.steps=100")
        if key == "extends":
            raise UserError(f"{OVERRIDE} {override}: extends stands in a file alone; give that recipe's name instead")
        _merge(values, origins, _nested(key, parse_yaml(text, f"{OVERRIDE} {override}")), OVERRIDE)
    origins.setdefault("", named)
    checked = validated(values, origins)
    for key, message in mistakes(checked):
        raise UserError(f"{checked.where(key)}: {message}")
    if checked.run.dir is not None:
        check_local(checked.run.dir, f"{checked.where('run.dir')}:")
    return checked


def validated(values, origins):
    """The `Recipe` of nested values; `origins` say where each key comes from, "" for those that are not in it.

    Raises:
        UserError: one line on the first value that is not allowed.
    """
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(_first(error.errors()), origins)) from None
    recipe._origins = origins
    return recipe


@contextlib.contextmanager
def blame(recipe, key):
    """Context in which a `UserError` says that a key of a recipe is the cause."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{recipe.where(key)}: {error}") from None


def find_recipe(recipe, beside=None):
    """The file that a path or a shipped name stands for; first one of that path in the folder `beside`."""
    path = user_path(recipe)
    shipped = package_data("recipes")
    name = path.relative_to("recipes") if path.parts[:1] == ("recipes",) else path
    nearest = [beside / path] if beside else []
    for candidate in (*nearest, path, shipped / name, shipped / f"{name}.yaml"):
        with contextlib.suppress(OSError, ValueError):  # a name that no file can have
            if candidate.is_file():
                return candidate
    names = shipped_recipes()
    hint = did_you_mean(str(name).removesuffix(".yaml"), names)
    raise UserError(f"{recipe}: no such recipe; {hint}shipped are {', '.join(names)}")


def read_started(path, then):
    """What a folder says it was started with, a dict.

    Args:
        path: its YAML file.
        then: what happens once the file is moved away, for the message.

    Raises:
        UserError: where the file is broken.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), path)
    except (UserError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path}: is broken; move it away, and {then}")
    return values


def shipped_recipes():
    """The names of the recipes that come with the package."""
    folder = package_data("recipes")
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _read(path, below):
    """Values of a recipe file on top of those it extends, and the file that each key comes from."""
    path = path.resolve()
    if path in below:
        raise UserError(f"{_short(path)}: extends: leads back to itself; take the extends out of one of the files")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{_short(path)}: cannot be read ({type(error).__name__}); a recipe is a YAML file, or a shipped name"
        ) from None
    own = parse_yaml(text, _short(path))
    own = {} if own is None else own
    if not isinstance(own, dict):
        raise UserError(f"{_short(path)}: a recipe is a list of `key: value` lines")
    base = own.pop("extends", None)
    values, origins = {}, {}
    if base is not None:
        values, origins = _read(find_recipe(str(base), path.parent), (*below, path))
    _merge(values, origins, own, _short(path))
    return values, origins


def _nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _merge(values, origins, new, origin, above=""):
    for key, value in new.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and isinstance(values.get(key, {}), dict):
            _merge(values.setdefault(key, {}), origins, value, origin, f"{path}.")
        else:
            values[key] = value
        origins[path] = origin


def _origin(key, origins):
    """The file that sets a key, or else the recipe that leaves it at its default."""
    while key and key not in origins:
        key = key.rpartition(".")[0]
    return origins[key]


def _first(errors):
    """The first thing that pydantic found; of a value that may be one or a list, what is wrong inside the list."""
    key = errors[0]["loc"][:2]
    return max((error for error in errors if error["loc"][:2] == key), key=lambda error: len(error["loc"]))


def _explain(error, origins):
    """One line for a thing that pydantic found."""
    path = _key_of(error["loc"], error["type"] == "extra_forbidden")
    key = ".".join(path)
    start = f"{_origin(key, origins)}: {key}: "
    if error["type"] == "extra_forbidden":
        names = _keys(path[:-1])
        return f"{start}unknown key; {did_you_mean(path[-1], names)}allowed are {', '.join(names)}"
    got = _SHORT.repr(error["input"])
    if error["type"] == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        hint = did_you_mean(error["input"], allowed.split(", "))
        return f"{start}{got} is not allowed; {hint}allowed are {allowed}"
    if error["type"] == "model_type":
        return f"{start}{got} is not a section; write its keys below it: {', '.join(_keys(path))}"
    return f"{start}{error['msg'][0].lower()}{error['msg'][1:]}, got {got}"


def _key_of(place, unknown):
    """The key, as a list, of where pydantic found something: there stands too which of several types was tried."""
    path, section = [], Recipe
    for part in place:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = fields[part].annotation
            path.append(part)
        elif isinstance(part, int) or (unknown and part is place[-1]):
            path.append(str(part))
    return path


def _keys(path):
    """The keys of the section at `path`."""
    model: type[BaseModel] = Recipe
    for part in path:
        model = model.model_fields[part].annotation
    return [*model.model_fields, "extends"] if model is Recipe else list(model.model_fields)


def _short(path):
    """A path as the user would write it: relative where it lies below the working folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
