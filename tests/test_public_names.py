"""What stands at the top level: ordinary functions and classes, loaded when they are first used."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import clicv2_keras

FUNCTIONS = [name for name in clicv2_keras.__all__ if name[0].islower()]
SOURCE = ast.parse(Path(clicv2_keras.__file__).read_text(encoding="utf-8"))
HEAVY = ("keras", "tensorflow", "jax", "torch", "sklearn", "matplotlib")


def in_a_new_process(code):
    loaded = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", f"{code}; {loaded}"], check=True, capture_output=True, text=True
    ).stdout


def test_the_import_brings_next_to_nothing():
    code = "import sys; before = set(sys.modules); import clicv2_keras; new = set(sys.modules) - before"
    out = in_a_new_process(f"{code}; assert not [n for n in new if n.split('.')[0] in ('numpy', 'PIL', 'click')], new")
    assert out.strip() == ""


def test_a_function_can_be_taken_before_the_backend_is_chosen():
    names = ", ".join(FUNCTIONS)
    assert in_a_new_process(f"from clicv2_keras import {names}").strip() == ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_ordinary_ones(name):
    function = getattr(clicv2_keras, name)
    assert inspect.isfunction(function) and function.__name__ == name
    # There is nothing to ask of the list of models.
    assert bool(inspect.signature(function).parameters) == (name != "list_models") and inspect.getdoc(function)
    assert f"def {name}(" in Path(inspect.getsourcefile(function)).read_text(encoding="utf-8")


CLASSES = [name for name in clicv2_keras.__all__ if name[0].isupper()]
# Of these the methods too: they are used without Keras, whose own have no types.
LIGHT = ("Ablation", "ComplexityMetric", "Counts", "DemoServer", "Explanation", "Scorer")


def called(name):
    """What is called of a public name: a function, or a class's constructors, and of a light one all that is public."""
    thing = getattr(clicv2_keras, name)
    if name in FUNCTIONS:
        return [thing]
    members = [
        getattr(value, "fget", None) or getattr(value, "__func__", value)
        for key, value in vars(thing).items()
        if (key == "__call__" or not key.startswith("_")) and (name in LIGHT or isinstance(value, classmethod))
    ]
    # The constructor of a NamedTuple is no function: its fields have types.
    return filter(inspect.isfunction, [thing.__init__, *members])


@pytest.mark.parametrize("name", FUNCTIONS + CLASSES)
def test_what_is_called_says_its_types(name):
    for function in called(name):
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        without = {p.name for p in named if p.annotation is p.empty} - {"self", "cls"}
        assert not without and signature.return_annotation is not signature.empty, (function.__qualname__, without)


def test_all_names_are_shown_and_there_and_no_other():
    assert dir(clicv2_keras) == sorted(clicv2_keras.__all__)
    for name in clicv2_keras.__all__:
        assert getattr(clicv2_keras, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        clicv2_keras.trian  # noqa: B018


def test_type_checkers_see_the_same_names():
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert {*seen, "__version__"} == set(clicv2_keras.__all__)
    for name, module in seen.items():
        assert getattr(sys.modules.get(module) or __import__(module, fromlist=[name]), name) is getattr(
            clicv2_keras, name
        )
    assert (Path(clicv2_keras.__file__).parent / "py.typed").is_file()


def test_no_package_has_a_functions_name():
    packages = {path.parent.name for path in Path(clicv2_keras.__file__).parent.glob("*/__init__.py")}
    assert not packages & set(clicv2_keras.__all__)
