"""Colour jitter by keras-cv, on whole batches, with factors that the caller draws.

The layers' own draws are not reproducible in a parallel pipeline, so only their image operations are used. keras-cv
computes in TensorFlow here whatever the Keras backend is, and takes ten seconds to import: it is imported when called.
"""

# Factors of a view: brightness, contrast, saturation.
FACTORS = 3
_LUMA = (0.2989, 0.587, 0.114)


def draw_factors(rng, strength):
    """Three factors in [1 - strength, 1 + strength]."""
    return rng.uniform(1 - strength, 1 + strength, FACTORS).astype("float32")


def color_jitter():
    """A function of a batch (B, S, S, 3) in [0, 255] and its factors (B, 3) to the jittered uint8 batch.

    Meant to be compiled by XLA, which makes one pass of what would be twelve. Contrast comes first because a mean of
    whole numbers is the same in whatever order they are added (up to 256 x 256 pixels), so that the colours do not hang
    on the machine; where a processor fuses multiply and add, a value in a million differs by 1.
    """
    import tensorflow as tf
    from keras_cv.layers import RandomBrightness, RandomContrast

    brightness, contrast = RandomBrightness(0.0), RandomContrast((0, 255), 0.0)

    def jitter(images, factors):
        factors = factors[:, :, None, None, None]
        images = contrast.augment_images(tf.cast(images, tf.float32), factors[:, 1])
        # keras-cv's brightness is a shift: of half the range a unit, as a factor would move middle grey.
        images = brightness.augment_images(images, (factors[:, 0] - 1.0) * 127.5)
        # A blend with grey, written out: keras-cv's saturation is a product of matrices, which XLA cannot fuse.
        grey = sum(images[..., i : i + 1] * weight for i, weight in enumerate(_LUMA))
        images = tf.clip_by_value(grey + factors[:, 2] * (images - grey), 0, 255)
        return tf.cast(tf.round(images), tf.uint8)

    return jitter
