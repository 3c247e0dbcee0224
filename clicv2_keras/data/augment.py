"""Colour jitter by keras-cv, on whole batches, with factors that the caller draws.

The layers' own draws are not reproducible in a parallel pipeline, so only their image operations are used. keras-cv
computes in TensorFlow here whatever the Keras backend is, and takes ten seconds to import: it is imported when called.
"""

from clicv2_keras.utils.views import BRIGHTNESS, FACTORS, SATURATION, factor_range, saturate


def draw_factors(rng, strength, grey=0.0):
    """The three factors of a view, float32 (3,), in [1 - strength, 1 + strength]; a share `grey` has saturation 0."""
    factors = rng.uniform(*factor_range(strength), len(FACTORS)).astype("float32")
    # Nothing is drawn where none is grey: the views of a seed stay what they were.
    if grey and rng.random() < grey:
        factors[SATURATION] = 0.0
    return factors


def color_jitter():
    """`views.jitter_colors` in TensorFlow, of a batch (B, S, S, 3) in [0, 255] and its factors (B, 3), to uint8.

    Meant to be compiled by XLA, which makes one pass of what would be twelve. Where a processor fuses multiply and add,
    a value in a million differs by 1.
    """
    import tensorflow as tf
    from keras_cv.layers import RandomBrightness, RandomContrast

    # They draw nothing, but without a seed they ask for TensorFlow's own generator, which TF_DETERMINISTIC_OPS forbids.
    brightness, contrast = RandomBrightness(0.0, seed=1), RandomContrast((0, 255), 0.0, seed=1)

    def jitter(images, factors):
        factors = factors[:, :, None, None, None]
        images = contrast.augment_images(tf.cast(images, tf.float32), factors[:, 1])
        # keras-cv's brightness is a shift.
        images = brightness.augment_images(images, (factors[:, 0] - 1.0) * BRIGHTNESS)
        # Written out: keras-cv's saturation goes by way of hue and value, which is another thing and cannot be fused.
        images = tf.clip_by_value(saturate(images, factors[:, 2]), 0, 255)
        return tf.cast(tf.round(images), tf.uint8)

    return jitter
