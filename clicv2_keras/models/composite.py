import keras


class Composite:
    """Mixin for a `keras.Model` made of other Keras objects: keeps those named in `PARTS` in its config."""

    PARTS: tuple[str, ...] = ()

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.PARTS}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            # A part that came after the file was written is not in it.
            name: keras.saving.deserialize_keras_object(config.get(name), custom_objects=custom_objects)
            for name in cls.PARTS
        }
        return cls(**{**config, **parts})
