"""A folder of the package that can be called: `clicv2_keras.train(...)` is `clicv2_keras.train.train(...)`."""

from types import ModuleType


class Verb(ModuleType):
    """The class given to a verb's package, so that the folder and the function share the verb's name."""

    def __call__(self, *args, **kwargs):
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)
