"""A folder of the package that can be called: `clicv2_keras.train(...)` is `clicv2_keras.train.train(...)`."""

import importlib
from types import ModuleType


class Verb(ModuleType):
    """The class given to a verb's package, so that the folder and the function share the verb's name.

    The package's `_HOMES` says which of its modules holds what. They are imported on demand: keras takes seconds, and a
    recipe names its backend before keras is imported.
    """

    def __call__(self, *args, **kwargs):
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)

    def __getattr__(self, name):
        homes = self.__dict__.get("_HOMES", {})
        if name not in homes:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{self.__name__}.{homes[name]}"), name)
