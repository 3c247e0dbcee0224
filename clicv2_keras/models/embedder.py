import keras
from keras import ops

from clicv2_keras.layers.pixels import check_shape
from clicv2_keras.models.composite import Composite
from clicv2_keras.models.kept_weights_jax import KeptWeights


@keras.saving.register_keras_serializable(package="clicv2_keras")
class Embedder(KeptWeights, Composite, keras.Model):
    """From an image to its embedding: the mean of an encoder's tokens.

    Args:
        encoder: a `ViTEncoder`.

    Call arguments:
        images: (B, S, S, 3) of the encoder's size, of the types that it takes.

    Returns:
        float32 (B, D).

    Raises:
        ValueError: where the images have another size or type.
    """

    PARTS = ("encoder",)

    def __init__(self, encoder, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.encoder = encoder
        self.built = True

    def build(self, input_shape=None):
        self.built = True

    def _obj_type(self):
        # By this Keras keeps the encoder's weights in a file where it did when this was a functional model (0.1).
        return "Functional"

    def call(self, images):
        check_shape(images, self.encoder.image_size)
        return ops.mean(ops.cast(self.encoder(images), "float32"), axis=1)
