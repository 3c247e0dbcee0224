"""The optimizer of every training here: AdamW, its rate up by a line, then by a schedule, vectors spared the decay."""

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


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ConstantThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Up by a line, level, then down by 1 - √(share of the decay) to 0 (arXiv 2405.18392).

    Unlike a cosine it need not know its end: a run may stay level as long as it pays, and a decay may branch off from
    any of its checkpoints.

    Args:
        learning_rate: the level.
        steps: the step at which the rate is 0.
        warmup: steps of the rise.
        decay: steps of the decay, the last ones; 0 stays level.
    """

    def __init__(self, learning_rate, steps, warmup=0, decay=0):
        self.learning_rate = learning_rate
        self.steps = steps
        self.warmup = warmup
        self.decay = decay

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1) / (self.warmup + 1), 1.0)
        fallen = ops.clip((step - (self.steps - self.decay)) / max(self.decay, 1), 0.0, 1.0)
        return self.learning_rate * rise * (1.0 - ops.sqrt(fallen) if self.decay else 1.0)

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "warmup": self.warmup,
            "decay": self.decay,
        }


@keras.saving.register_keras_serializable(package="clicv2_keras")
class PartlySlowAdamW(keras.optimizers.AdamW):
    """AdamW in which some variables learn at a share of the rate, such as those of a pretrained stem.

    Where it averages (`use_ema`), the average stays beside the weights, and does not replace them when a `fit` ends.

    Args:
        slow: the paths of these variables.
        share: of the rate, for them.
        kwargs: those of AdamW.
    """

    def __init__(self, slow=(), share=1.0, **kwargs):
        super().__init__(**kwargs)
        self.slow = list(slow)
        self.share = share

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow's variables come without the path of Keras's.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        share = self.share if path in self.slow else 1.0
        super().update_step(gradient, variable, learning_rate * share)

    def finalize_variable_values(self, var_list):
        """A run goes on with its own weights, `fit` after `fit`."""

    def get_config(self):
        return {**super().get_config(), "slow": self.slow, "share": self.share}


def steps_taken(optimizer):
    """Steps that an optimizer has taken, as an int: of several micro-batches one."""
    # On several devices in TensorFlow this is a variable a device, which `int` refuses.
    return int(ops.convert_to_numpy(optimizer.iterations))


def adamw(
    variables,
    learning_rate,
    steps,
    *,
    warmup=0,
    decay=None,
    weight_decay,
    beta_2=0.999,
    micro_batches=1,
    slow=(),
    share=1.0,
    average=0.0,
):
    """AdamW for `variables`, of which vectors (biases, norms, tokens, the weights of a linear head) do not decay.

    Args:
        variables: those to be trained.
        learning_rate: the highest. It rises to this by a line in `warmup` steps.
        steps: optimizer steps until it is 0.
        warmup: steps of the rise; 0 starts at the highest.
        decay: steps of a `ConstantThenDecay`; None falls to 0 by cosine from the highest on, as in MoCo v3 (arXiv
            2104.02057).
        weight_decay: decoupled weight decay, times the rate.
        beta_2: memory of the squared gradients.
        micro_batches: how many calls make one step of the optimizer.
        slow, share: variables that learn at a share of the rate. They do not decay: they were good before.
        average: what of the weights' moving average each step keeps; 0 is none. See `weight_average`.
    """
    # In both a warm-up from 0 would waste the first step.
    if decay is None:
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=learning_rate / (warmup + 1) if warmup else learning_rate,
            decay_steps=steps - warmup,
            warmup_target=learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    else:
        schedule = ConstantThenDecay(learning_rate, steps, warmup, decay)
    several = micro_batches > 1
    settings = {
        "learning_rate": PerOptimizerStep(schedule, micro_batches) if several else schedule,
        "weight_decay": weight_decay,
        "beta_2": beta_2,
        "gradient_accumulation_steps": micro_batches if several else None,
    }
    paths = [v.path for v in slow]
    if average:
        # Keras averages at every call: as much of it stays after all calls of a step.
        settings |= {"use_ema": True, "ema_momentum": average ** (1 / micro_batches)}
    optimizer = PartlySlowAdamW(paths, share, **settings) if slow or average else keras.optimizers.AdamW(**settings)
    spared = [v for v in variables if len(v.shape) < 2 or v.path in paths]
    optimizer.exclude_from_weight_decay(var_list=spared)
    return optimizer
