import keras

from clicv2_keras.utils.seeds import seed_for


class SeededLayer(keras.layers.Layer):
    """Base of the layers that draw: each kind has a stream of its own, though all are given the same seed.

    It keeps the state of its draws in saved weights, so that training resumes exactly: Keras saves no `SeedGenerator`,
    and a model loaded mid-training would draw from the start again.

    Args:
        seed: int, or None for a random one.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed_for(seed, type(self).__name__))

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seed_generator_state"] = keras.ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["seed_generator_state"])
        super().load_own_variables({k: store[k] for k in store.keys() if k != "seed_generator_state"})

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
