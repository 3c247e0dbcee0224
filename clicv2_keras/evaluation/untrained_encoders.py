class UntrainedEncoders:
    """An encoder as it was before training, at several random initialisations: one network, compiled once, whose
    weights are put in when each is asked.

    ```python
    for encoder in untrained:   # the same object each time
        ...
    ```

    Args:
        encoder: a `ViTEncoder`; None only without seeds.
        seeds: int, of the initialisations.

    Attributes:
        encoder: that network; None without seeds.
    """

    def __init__(self, encoder, seeds):
        self.encoder = None
        self._weights = []
        for seed in seeds:
            self.encoder = encoder.untrained(seed)
            self._weights.append(self.encoder.get_weights())

    def __len__(self):
        return len(self._weights)

    def __iter__(self):
        for weights in self._weights:
            self.encoder.set_weights(weights)
            yield self.encoder
