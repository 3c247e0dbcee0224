"""Recipes as text: the schema for people, and a complete recipe as YAML."""

import json
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from clicv2_keras.recipe.files import shipped_recipes
from clicv2_keras.recipe.schema import MOST, Recipe

_SIGNS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}


def recipe_yaml(recipe):
    """The complete recipe as YAML; it loads as a recipe again."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def flat(values, above=""):
    """A recipe's values by dotted key: {"train.steps": 100, …}."""
    found = {}
    for key, value in values.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def schema_sections():
    """The schema by section: (name, meaning, keys), each key as (key, type and range, default, unit and meaning).

    The first section's name is empty: its keys stand above all others.
    """
    extends = "path or name of a recipe whose values hold where this one is silent"
    top, sections = [("extends", "text | null", "null", extends)], []
    for name, field in Recipe.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            keys = [_key(key, part) for key, part in model.model_fields.items()]
            sections.append((name, " ".join(model.__doc__.split()), keys))
        else:
            top.append(_key(name, field))
    return [("", " ".join(Recipe.__doc__.split()), top), *sections]


def describe_schema():
    """Every key of a recipe: type and range, default, unit and meaning."""
    lines = ["A recipe is a YAML file. Every key can be left out; = marks its default."]
    lines += [f"Shipped: {', '.join(shipped_recipes())}."]
    for name, meaning, keys in schema_sections():
        indent = "  " if name else ""
        lines += ["", f"{name}:  # {meaning}"] if name else [""]
        for key, kind, default, description in keys:
            lines += [f"{indent}{key}: {kind} = {default}", f"{indent}    {description}"]
    return "\n".join(lines)


def _key(key, field):
    default = field.default if isinstance(field.default, str) else json.dumps(field.default)
    return key, _type(field.annotation, field.metadata), default, field.description


def _type(annotation, metadata=()):
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join("null" if part is NoneType else _type(part, metadata) for part in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {_type(*get_args(annotation))}"
    if hasattr(annotation, "__metadata__"):
        annotation, metadata = annotation.__origin__, annotation.__metadata__
    limits = [limit for part in metadata for limit in getattr(part, "metadata", [part])]
    # What bounds memory alone is nobody's range.
    known = [(limit, *_SIGNS[type(limit)]) for limit in limits if type(limit) in _SIGNS and limit != Le(MOST)]
    signs = [f"{sign} {getattr(limit, name)}" for limit, sign, name in known]
    name = {"str": "text", "int": "whole number", "float": "number", "bool": "true | false"}[annotation.__name__]
    return f"{name} {', '.join(signs)}".strip()
