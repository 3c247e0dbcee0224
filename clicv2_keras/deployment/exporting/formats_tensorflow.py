"""A `ComplexityScorer` as a SavedModel that runs without this package, and as a TFLite model of builtin operations."""

import contextlib
import io
import re
import warnings

import tensorflow as tf
from keras.export import ExportArchive

from clicv2_keras.utils.errors import UserError

OUTPUTS = ("score", "map", "embedding")
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# Everything above sees what the first of them round: in int8 they alone cost the default's ranking .001.
KEPT_FLOAT = 3
QUANTIZE = ("none", "float16", "dynamic", "int8")


def write_saved_model(scorer, folder):
    """Write a SavedModel with two signatures.

    `serving_default` takes uint8 `images` (B, H, W, 3) of any size, `serving_bytes` strings `image_bytes` (B,) of
    JPEG, PNG or still GIF files, whose EXIF orientation and transparency are the caller's. Both resize as the package
    does, and return float32 `score` (B,), `map` (B, rows, columns) and `embedding` (B, D).
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


def convert(folder, quantize, calibration=()):
    """The flatbuffer, bytes, of the SavedModel in `folder`.

    Args:
        quantize: `"none"`: float32; `"float16"`: half the size, computed in float32; `"dynamic"`: in dense layers int8
            weights and int8 activations scaled on the fly, in convolutions float16 weights computed in float32, which
            is faster there than int8 on the fly; `"int8"`: the same, and convolutions with int8 weights and int8
            activations of scales from calibration, all but the first three, which lie nearest to the pixels. Attention,
            norms and softmax stay float32: a ViT breaks without them.
        calibration: uint8 images (1, S, S, 3), for `"int8"`.

    Raises:
        UserError: where the model needs an operation that is not built into TFLite.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        model = converter.convert()
    except Exception as error:  # the converter's errors have no common class
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"export: TFLite cannot hold this model by builtin operations alone: {reason[:200]}") from None
    return _quantized(model, quantize, calibration) if quantize in ("dynamic", "int8") else model


def _quantized(model, quantize, calibration):
    """The flatbuffer with its weights as `convert` says, by ai-edge-quantizer."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe_manager

    rules = recipe_manager.RecipeManager()
    operations = qtyping.TFLOperationName
    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
    rules.add_dynamic_config(".*", operations.FULLY_CONNECTED, num_bits=8)
    others = _convolutions(model)[KEPT_FLOAT:] if quantize == "int8" else []
    for convolution in CONVOLUTIONS:
        rules.add_quantization_config(".*", operations[convolution], half, casting)
        if others:
            # By name: a rule knows an operation by its outputs.
            names = f"^({'|'.join(map(re.escape, others))});?$"
            rules.add_static_config(names, operations[convolution], activation_num_bits=8, weight_num_bits=8)
    silent = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        worker = quantizer.Quantizer(bytearray(model), rules.get_quantization_recipe())
        images = [{"image": image} for image in calibration]
        ranges = worker.calibrate({"serving_default": images}) if rules.need_calibration() else None
        return bytes(worker.quantize(ranges).quantized_model)


def _convolutions(model):
    """The names of the outputs of a flatbuffer's convolutions, in order."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    found = [op for op in interpreter._get_ops_details() if op["op_name"] in CONVOLUTIONS]
    return [names[op["outputs"][0]] for op in found]
