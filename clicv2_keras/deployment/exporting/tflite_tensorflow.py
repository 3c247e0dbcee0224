"""From a SavedModel to a TFLite flatbuffer of builtin operations alone."""

import contextlib
import io
import warnings

import tensorflow as tf

from clicv2_keras.utils.errors import UserError

QUANTIZE = ("none", "float16", "dynamic", "int8")


def convert(folder, quantize, calibration=()):
    """The flatbuffer, bytes, of the SavedModel in `folder`.

    Args:
        quantize: `"none"`: float32; `"float16"`: half the size, computed in float32; `"dynamic"`: int8 weights and, in
            matrix products, int8 activations scaled on the fly; `"int8"`: int8 weights, and int8 activations in dense
            layers with scales from calibration. Attention, norms and softmax stay float32: a ViT breaks without them.
        calibration: uint8 images (1, S, S, 3), for `"int8"`.

    Raises:
        UserError: where the model needs an operation that is not built into TFLite.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize in ("float16", "dynamic"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        model = converter.convert()
    except Exception as error:  # the converter's errors have no common class
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"export: TFLite cannot hold this model by builtin operations alone: {reason[:200]}") from None
    return _static(model, calibration) if quantize == "int8" else model


def _static(model, calibration):
    """int8 weights and activations in dense layers, by ai-edge-quantizer."""
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    rules = recipe_manager.RecipeManager()
    dense = qtyping.TFLOperationName.FULLY_CONNECTED
    rules.add_static_config(regex=".*", operation_name=dense, activation_num_bits=8, weight_num_bits=8)
    silent = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        worker = quantizer.Quantizer(bytearray(model), rules.get_quantization_recipe())
        ranges = worker.calibrate({"serving_default": [{"image": image} for image in calibration]})
        return bytes(worker.quantize(ranges).quantized_model)
