import contextlib

import keras


class KeptWeights:
    """Mixin for a `keras.Model`: an error in `fit`, `evaluate` or `predict` leaves it the weights that it had.

    On JAX Keras (3.15) empties the variables while it runs, and after an error leaves them empty: a model that was
    shown the wrong images would be lost. Nothing is copied, and nothing changes on the other backends.
    """

    def fit(self, *args, **kwargs):
        with _kept_weights(self):
            return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        with _kept_weights(self):
            return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        with _kept_weights(self):
            return super().predict(*args, **kwargs)


@contextlib.contextmanager
def _kept_weights(model):
    if keras.backend.backend() != "jax":
        yield
        return
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        # As `fit` would: what is made after this line could not be put back.
        optimizer.build(model.trainable_variables)
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else ())]
    if all(variable._value is not None for variable in variables):
        # `train_on_batch` leaves its own behind, which is older than what was loaded since.
        model._jax_state = None
    before = [(variable, variable.value) for variable in variables]
    try:
        yield
    except BaseException:
        # What the last whole step left, and where there was none, what there was before.
        model.jax_state_sync()
        for variable, value in before:
            if variable._value is None:
                variable.assign(value)
        raise
