"""A SavedModel as a giver of feature maps. It computes in TensorFlow, whatever Keras's backend is."""

import keras
import numpy as np

from clicv2_keras.models.feature_maps import resize
from clicv2_keras.utils.errors import UserError

# Side of the image that the maps' strides are found on, where the model takes any.
SIDE = 256


class SavedModelMaps:
    """The maps that a SavedModel's `serving_default` gives, shallow to deep; as `FeatureMaps`, outside of a graph.

    Args:
        path: the folder. Its one input is uint8 or float (B, H, W, 3), pixels in [0, 255]; its outputs are maps
            (B, h, w, C). Images are resized to the size that it is made for, if it is for one.

    Attributes:
        strides, channels: lists of int.

    Raises:
        UserError: where it is no such model.
    """

    def __init__(self, path):
        import tensorflow as tf

        try:
            # Kept: its variables go with it.
            self._module = tf.saved_model.load(str(path))
            self._serve = self._module.signatures["serving_default"]
        except Exception as error:  # whatever TensorFlow says of a foreign file
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise UserError(f"{path}: cannot be read as a SavedModel with a serving_default: {reason}") from None
        inputs = self._serve.structured_input_signature[1]
        shapes = [spec.shape.as_list() for spec in inputs.values() if spec.shape.rank == 4]
        if len(inputs) != 1 or len(shapes) != 1 or shapes[0][3] not in (3, None):
            raise UserError(f"{path}: its serving_default must take images (B, H, W, 3) and nothing else")
        ((self._name, self._spec),) = inputs.items()
        self.image_size = shapes[0][1]
        side = self.image_size or SIDE
        found = self._run(np.zeros((1, side, side, 3), "uint8"))
        if any(each.ndim != 4 for each in found.values()):
            raise UserError(f"{path}: the outputs of its serving_default must be maps (B, h, w, C)")
        # The largest map is the shallowest; those of one size come by name.
        self._order = sorted(found, key=lambda name: (-found[name].shape[1], name))
        self.strides = [round(side / found[name].shape[1]) for name in self._order]
        self.channels = [found[name].shape[3] for name in self._order]

    def __call__(self, images):
        """The maps of images, uint8 (B, S, S, 3): a list of float arrays."""
        if self.image_size and images.shape[1] != self.image_size:
            images = keras.ops.convert_to_numpy(resize(images.astype("float32"), self.image_size))
        found = self._run(images)
        return [found[name] for name in self._order]

    def _run(self, images):
        import tensorflow as tf

        outputs = self._serve(**{self._name: tf.cast(tf.constant(images), self._spec.dtype)})
        return {name: value.numpy() for name, value in outputs.items()}
