"""A `ComplexityScorer` as a SavedModel that runs without this package, and as the graph that TFLite converts."""

import tensorflow as tf
from keras.export import ExportArchive

OUTPUTS = ("score", "map", "embedding")


def write_saved_model(scorer, folder):
    """Write a SavedModel with two signatures.

    `serving_default` takes uint8 `images` (B, H, W, 3) of any size, `serving_bytes` strings `image_bytes` (B,) of
    JPEG, PNG or still GIF files, whose EXIF orientation is the caller's. Both resize as the package does, and return
    float32 `score` (B,), `map` (B, rows, columns) and `embedding` (B, D).
    """
    size = scorer.encoder.image_size

    def score_images(images):
        return scorer(_resize(images, size))

    def score_bytes(image_bytes):
        def decode(data):
            # It reads PNG and GIF as well; its own default for JPEG is faster and further from Pillow's pixels.
            image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
            return _resize(image[None], size)[0]

        signature = tf.TensorSpec((size, size, 3), tf.uint8)
        return scorer(tf.map_fn(decode, image_bytes, fn_output_signature=signature))

    archive = ExportArchive()
    archive.track(scorer)
    pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    archive.add_endpoint("serving_default", score_images, input_signature=[pixels])
    files = tf.TensorSpec((None,), tf.string, name="image_bytes")
    archive.add_endpoint("serving_bytes", score_bytes, input_signature=[files])
    archive.write_out(str(folder), verbose=False)


def write_tflite_source(scorer, folder):
    """Write the SavedModel of one uint8 `image` (1, S, S, 3), from which TFLite is made."""
    size = scorer.encoder.image_size
    archive = ExportArchive()
    archive.track(scorer)
    # A static batch of 1 gives XNNPACK one partition of the graph instead of dozens.
    pixels = tf.TensorSpec((1, size, size, 3), tf.uint8, name="image")
    archive.add_endpoint("serving_default", lambda image: scorer(image), input_signature=[pixels])
    archive.write_out(str(folder), verbose=False)


def _resize(images, size):
    """As `images.network_input`: the antialiased triangle filter, in whole grey levels."""
    resized = tf.image.resize(images, (size, size), method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
