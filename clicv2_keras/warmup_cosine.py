import keras


def warmup_cosine(peak, steps, warmup):
    """The learning rate of MoCo v3 (arXiv 2104.02057): up to `peak` in `warmup` steps, then by cosine to 0."""
    return keras.optimizers.schedules.CosineDecay(
        # A warm-up from 0 would waste the first step.
        initial_learning_rate=peak / (warmup + 1) if warmup else peak,
        decay_steps=steps - warmup,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
