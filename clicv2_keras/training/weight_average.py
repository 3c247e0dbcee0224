"""The moving average of a run's weights, which its optimizer keeps: to judge it beside the weights, and to save it."""

import contextlib

import keras

from clicv2_keras.models.optimizer import steps_taken


def weights_and_averages(optimizer):
    """Pairs of a trained variable and its average, of an optimizer that keeps averages."""
    # Keras has no public name for them.
    return list(zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True))


@contextlib.contextmanager
def averaged(model):
    """Context in which a model has the average of its trained weights in their place.

    Args:
        model: a compiled model whose optimizer was made by `adamw(…, average=…)`.
    """
    pairs = weights_and_averages(model.optimizer)
    before = [keras.ops.convert_to_numpy(variable).copy() for variable, _ in pairs]
    for variable, average in pairs:
        # By a copy: JAX would give one array to both, and take it from both when a compiled function frees its inputs.
        variable.assign(keras.ops.convert_to_numpy(average))
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, before, strict=True):
            variable.assign(value)


def averaged_encoder(model):
    """A copy of the encoder with averaged weights, of the optimizer or else of the contrast's teacher; or None."""
    # Before the first step an optimizer's average is of nothing.
    if not model.optimizer.use_ema or not steps_taken(model.optimizer):
        return model.averaged_encoder()
    with averaged(model):
        return model.encoder.copy()
