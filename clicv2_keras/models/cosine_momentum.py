import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="clicv2_keras")
class CosineMomentum(keras.optimizers.schedules.LearningRateSchedule):
    """The EMA teacher's momentum: from `initial` to 1 along half a cosine over `total_steps`, as in MoCo v3.

    Args:
        initial: momentum at step 0, in [0, 1].
        total_steps: optimizer steps until the momentum is 1 and the teacher stands still.
    """

    def __init__(self, initial: float = 0.99, total_steps: int = 10_000) -> None:
        self.initial = initial
        self.total_steps = total_steps

    def __call__(self, step):
        progress = ops.minimum(ops.cast(step, "float32") / self.total_steps, 1.0)
        return 1.0 - (1.0 - self.initial) * 0.5 * (1.0 + ops.cos(math.pi * progress))

    def get_config(self):
        return {"initial": self.initial, "total_steps": self.total_steps}
