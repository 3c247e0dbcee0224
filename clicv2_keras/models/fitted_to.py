from clicv2_keras.utils.fingerprints import Fingerprints

KEY = "fitted_to"


class FittedTo:
    """Mixin for a layer or model whose weights human labels may fit: it carries the fingerprints of their images.

    They are saved with the weights and with no graph, and are no variable.

    Attributes:
        fitted_to: the `Fingerprints` of the images to whose labels the weights were fitted: none at first. None where
            the weights come from a file that does not say, as those before version 0.2.
    """

    fitted_to = Fingerprints()

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.fitted_to is not None:
            store[KEY] = self.fitted_to.codes

    def load_own_variables(self, store):
        names = list(store.keys())
        self.fitted_to = Fingerprints(store[KEY]) if KEY in names else None
        super().load_own_variables({name: store[name] for name in names if name != KEY})
