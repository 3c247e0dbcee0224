"""Where a training step knows its backend: one that ends by moving the teacher."""

import contextlib
import warnings

import keras


class TeacherTrainer:
    """Mixin for a `keras.Model` with `update_teacher()`: every training step calls it after the optimizer.

    TensorFlow and PyTorch assign variables in place. JAX's step is a pure function from values to values: there the
    update runs on the values that the step returns, and its assignments are collected into the next ones.

    Attributes:
        elementwise_jit: compile, by XLA, all but the products of a step that is not compiled as a whole; on TensorFlow.
    """

    elementwise_jit = False

    # A property and not an argument of an own `compile`, which `load_model` would not call.
    @property
    def steps_per_execution(self):
        return self._steps_per_execution

    @steps_per_execution.setter
    def steps_per_execution(self, steps):
        if steps != 1 and keras.backend.backend() == "torch":
            warnings.warn("PyTorch runs one step per execution: steps_per_execution is set to 1.", stacklevel=3)
            steps = 1
        self._steps_per_execution = steps

    def train_step(self, *args):
        if keras.backend.backend() != "jax":
            with self._compiling():
                logs = super().train_step(*args)
                self.update_teacher()
            return logs

        logs, (trainable, non_trainable, optimizer, metrics) = super().train_step(*args)
        variables = [*self.trainable_variables, *self.non_trainable_variables, *self.optimizer.variables]
        values = [*trainable, *non_trainable, *optimizer]
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
            self.update_teacher()
        non_trainable = [scope.get_current_value(variable) for variable in self.non_trainable_variables]
        return logs, (trainable, non_trainable, optimizer, metrics)

    def _compiling(self):
        """Context of a step's operations."""
        in_parts = self.elementwise_jit and not (self.jit_compile or self.run_eagerly)
        if not in_parts or keras.backend.backend() != "tensorflow":
            return contextlib.nullcontext()
        from clicv2_keras.models.elementwise_jit_tensorflow import elementwise_jit

        return elementwise_jit(self)
