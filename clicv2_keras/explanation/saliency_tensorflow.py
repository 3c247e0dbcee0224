import keras
import numpy as np
from keras import ops
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency

from clicv2_keras.models.masked_entropy_branch import MaskedEntropyBranch
from clicv2_keras.utils.errors import UserError

CAMS = {"gradcam++": GradcamPlusPlus, "layercam": Layercam}
SAMPLES = 8
# As a share of the image's range. At tf-keras-vis's 0.2 the noise, complex itself, drowns the image: two seeds then
# agree to a correlation of .50, and to .84 at 0.05.
NOISE = 0.05
TOKENS = "tokens"


class SaliencyTensorFlow:
    """What a `ComplexityScorer` looked at, by tf-keras-vis: a uint8 image (S, S, 3) in, a dict of float32 grids out.

    Args:
        scorer: a `ComplexityScorer`; its score is what is explained.
        methods: names in `METHODS`. `"smoothgrad"` is (S, S): the gradient's size at each pixel, the largest of the
            three colours, the mean over 8 noisy copies. The others are (rows, columns), on the last tokens.

    Raises:
        UserError: where a method looks at tokens that this scorer's head does not use.
    """

    def __init__(self, scorer, methods):
        for name in methods:
            if name in CAMS and isinstance(scorer.head, MaskedEntropyBranch):
                raise UserError(
                    f"saliency: {name} looks at the tokens of the whole image, which this model's masked-entropy head "
                    "does not use; take smoothgrad, or another model"
                )
        self.model = _flat_model(scorer)
        self.methods = methods

    def __call__(self, image):
        pixels = image[None].astype("float32")
        return {name: self._saliency(name, pixels) for name in self.methods}

    def _saliency(self, name, pixels):
        if name in CAMS:
            grid = CAMS[name](self.model)(
                _score,
                pixels,
                penultimate_layer=TOKENS,
                seek_penultimate_conv_layer=False,
                expand_cam=False,
                normalize_cam=False,
            )
        else:
            grid = self._smooth_gradient(pixels)
        return np.asarray(grid, "float32")[0]

    def _smooth_gradient(self, pixels):
        # tf-keras-vis draws from NumPy's global generator; the same image shall give the same picture.
        state = np.random.get_state()
        np.random.seed(0)
        try:
            return Saliency(self.model)(_score, pixels, smooth_samples=SAMPLES, smooth_noise=NOISE, normalize_map=False)
        finally:
            np.random.set_state(state)


def _score(output):
    return output


def _flat_model(scorer):
    """The functional model that tf-keras-vis asks for, float pixels (1, S, S, 3) to the score (1,)."""
    # Pixels as float: integers have no gradient.
    encoder = scorer.encoder.copy(value_range=(0, 255))
    images = keras.Input((encoder.image_size, encoder.image_size, 3), batch_size=1, dtype="float32")
    # float32 from here on, whatever the encoder computes in: tf-keras-vis hands the tokens to NumPy.
    grid = keras.layers.Reshape((*encoder.grid, encoder.output_dim), dtype="float32")(encoder(images))
    grid = keras.layers.Identity(name=TOKENS, dtype="float32")(grid)
    return keras.Model([images], [_Score(scorer.head, encoder)(images, grid)])


class _Score(keras.layers.Layer):
    """A scorer's head as a layer: images and the grid of their tokens to scores."""

    def __init__(self, head, encoder):
        super().__init__(dtype="float32")
        self.head = head
        self.encoder = encoder

    def build(self, *shapes):
        self.built = True

    def call(self, images, grid):
        tokens = ops.reshape(grid, (1, self.encoder.grid[0] * self.encoder.grid[1], self.encoder.output_dim))
        return ops.mean(self.head.patch_scores(images, tokens, self.encoder), axis=1)
