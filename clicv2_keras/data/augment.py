"""Colour jitter by keras-cv, on whole batches, with factors that the caller draws.

The layers' own draws are not reproducible in a parallel pipeline, so only their image operations are used. keras-cv
computes in TensorFlow here whatever the Keras backend is, and takes ten seconds to import: it is imported when called.
"""

# Factors of a view: brightness, contrast, saturation.
FACTORS = 3


def draw_factors(rng, strength):
    """Three factors in [1 - strength, 1 + strength]."""
    return rng.uniform(1 - strength, 1 + strength, FACTORS).astype("float32")


def color_jitter():
    """A function of a float32 batch (B, S, S, 3) in [0, 255] and its factors (B, 3) to the jittered uint8 batch."""
    import tensorflow as tf
    from keras_cv.layers import RandomBrightness, RandomColorDegeneration, RandomContrast

    brightness, contrast = RandomBrightness(0.0), RandomContrast((0, 255), 0.0)
    # A blend with grey: a fifth of the time of RandomSaturation, which goes through HSV.
    saturation = RandomColorDegeneration(0.0)

    def jitter(images, factors):
        # keras-cv's brightness is a shift: of half the range a unit, as a factor would move middle grey.
        shift = (factors[:, 0] - 1.0) * 127.5
        images = brightness.augment_images(images, shift[:, None, None, None])
        images = contrast.augment_images(images, factors[:, 1, None, None, None])
        images = saturation.augment_images(images, (1.0 - factors[:, 2])[:, None, None, None])
        return tf.cast(tf.round(images), tf.uint8)

    return jitter
