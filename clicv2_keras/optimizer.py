"""The optimizer of every training here: AdamW, its rate up by a line and down by a cosine, vectors spared the decay."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="clicv2_keras")
class PerOptimizerStep(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of optimizer steps, for an optimizer that accumulates gradients: Keras asks it by micro-batches.

    Args:
        schedule: the `LearningRateSchedule`, of optimizer steps.
        micro_batches: how many make an optimizer step.
    """

    def __init__(self, schedule, micro_batches):
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        self.schedule = schedule
        self.micro_batches = micro_batches

    def __call__(self, step):
        return self.schedule(ops.floor_divide(step, self.micro_batches))

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "micro_batches": self.micro_batches,
        }


def adamw(variables, learning_rate, steps, *, warmup=0, weight_decay, beta_2=0.999, micro_batches=1):
    """AdamW for `variables`, of which vectors (biases, norms, tokens, the weights of a linear head) do not decay.

    Args:
        variables: those to be trained.
        learning_rate: the highest. It rises to this by a line in `warmup` steps, then falls to 0 by cosine, as in
            MoCo v3 (arXiv 2104.02057).
        steps: optimizer steps until it is 0.
        warmup: steps of the rise; 0 starts at the highest.
        weight_decay: decoupled weight decay, times the rate.
        beta_2: memory of the squared gradients.
        micro_batches: how many calls make one step of the optimizer.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        # A warm-up from 0 would waste the first step.
        initial_learning_rate=learning_rate / (warmup + 1) if warmup else learning_rate,
        decay_steps=steps - warmup,
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    several = micro_batches > 1
    optimizer = keras.optimizers.AdamW(
        PerOptimizerStep(schedule, micro_batches) if several else schedule,
        weight_decay=weight_decay,
        beta_2=beta_2,
        gradient_accumulation_steps=micro_batches if several else None,
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
    return optimizer
