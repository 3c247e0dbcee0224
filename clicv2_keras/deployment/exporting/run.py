"""Export, from a model of any backend to a file whose agreement with it has been measured."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clicv2_keras.deployment.exporting.parity import (
    CALIBRATED,
    COMPARED,
    Exported,
    Parity,
    images_to_compare_on,
    run_tflite,
)
from clicv2_keras.deployment.exporting.push import push_model
from clicv2_keras.utils.atomic_files import naming
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.hub import check_push
from clicv2_keras.utils.paths import StrPath, check_replaceable, check_writable, user_path

if TYPE_CHECKING:
    import keras

FORMATS = ("saved_model", "tflite")


def export(
    model: "StrPath | keras.Model" = "default",
    format: str = "tflite",
    quantize: str = "none",
    output: StrPath | None = None,
    images: StrPath | None = None,
    push: str | None = None,
) -> Exported:
    """Turn a model into a SavedModel or a TFLite file, and compare it with the Keras model on at least 200 images.

    A model that was trained on JAX or PyTorch is converted by TensorFlow in a process of its own.

    Args:
        model: see `find_model`; one without a head of its own is exported with the label-free head.
        format: `"tflite"`, or `"saved_model"`, whose `serving_default` takes uint8 `images` (B, H, W, 3) of any size,
            and `serving_bytes` JPEG or PNG bytes, of which it heeds neither EXIF orientation nor alpha.
        quantize: of TFLite: `"none"`, `"float16"`, `"dynamic"` or `"int8"`; see `convert`.
        output: the file or folder to write; by default NAME.tflite or NAME_saved_model in the working folder. Only a
            TFLite file of an earlier export is replaced.
        images: folder of 200 images or more to compare on; for `"int8"` of 300 or more, of which 100 calibrate it.
            Procedural images by default, which `"int8"` refuses.
        push: `hf://owner/name[@branch]`, where the TFLite file goes too, as `model.tflite`, beside the Keras model and
            the card; `HF_TOKEN` must be one that may write there.

    Returns:
        `Exported(path, parity)`.

    Raises:
        UserError: one line on what is wrong; where the export differs too far from the model, nothing is written.
    """
    if format not in FORMATS:
        raise UserError(f"format: {format} is not one; allowed are {', '.join(FORMATS)}")
    if format == "saved_model" and quantize != "none":
        raise UserError(f"quantize: a SavedModel is float32; {quantize} needs --format tflite")
    if quantize == "int8" and images is None:
        raise UserError(
            f"images: int8 is calibrated on real images; name a folder of {COMPARED + CALIBRATED} or more with --images"
        )
    if push and format != "tflite":
        raise UserError("push: a repository holds the TFLite file and the Keras model; leave --format saved_model out")
    if push:
        check_push(push)
    from clicv2_keras.utils.backend import choose_backend

    work = _export if choose_backend() == "tensorflow" else _in_tensorflow
    exported = work(model, format, quantize, output, images)
    if push:
        push_model(push, exported.path, model)
    return exported


def _in_tensorflow(model, format, quantize, output, images):
    """Export in a process that runs Keras on TensorFlow; weights go there through a `.keras` file."""
    from clicv2_keras.models.find_model import find_model

    named = None
    with tempfile.TemporaryDirectory() as folder:
        if not isinstance(model, str | os.PathLike):
            path = Path(folder) / "model.keras"
            find_model(model).save(path)
            model, named = path, type(model).__name__
        arguments = [str(model), format, quantize, output and str(output), images and str(images), named]
        result = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import answer; answer()", json.dumps(arguments)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )
    if result.returncode:
        raise RuntimeError(f"the export on TensorFlow ended with {result.returncode}:\n{result.stderr[-3000:]}")
    found = json.loads(result.stdout.splitlines()[-1])
    if "error" in found:
        raise UserError(found["error"])
    if "fault" in found:
        raise OSError(*found["fault"])
    parity = found["parity"]
    # JSON has no whole numbers as keys.
    parity["milliseconds"] = {int(threads): ms for threads, ms in parity["milliseconds"].items()}
    return Exported(Path(found["path"]), Parity(**parity))


def answer():
    """In the other process: export as told, and answer with one line of JSON."""
    from clicv2_keras.utils.backend import choose_backend

    choose_backend()
    try:
        path, parity = _export(*json.loads(sys.argv[1]))
    except UserError as error:
        print(json.dumps({"error": str(error)}))
    except OSError as error:  # a full disk
        print(json.dumps({"fault": (error.errno, error.strerror, error.filename)}))
    else:
        print(json.dumps({"path": str(path), "parity": vars(parity)}))


def _export(model, format, quantize, output, images, named=None):
    """As `export`, of what is called `named` where `model` is but its way here."""
    import numpy as np

    from clicv2_keras.deployment.exporting.describe import describe
    from clicv2_keras.deployment.exporting.formats_tensorflow import (
        QUANTIZE,
        convert,
        write_saved_model,
        write_tflite_source,
    )
    from clicv2_keras.models.find_model import find_model, fitted_to_of, scorer_of
    from clicv2_keras.utils.tflite_file import pack

    if quantize not in QUANTIZE:
        raise UserError(f"quantize: {quantize} is not one; allowed are {', '.join(QUANTIZE)}")
    scorer = scorer_of(find_model(model))
    metadata, card = describe(named or model, scorer, quantize)
    labelled = fitted_to_of(scorer)
    target = _target(output, metadata["name"], format)
    judged, names, calibration = images_to_compare_on(images, scorer.encoder.image_size)
    if quantize == "int8" and len(calibration) < CALIBRATED:
        raise UserError(
            f"{images}: int8 is calibrated on {CALIBRATED} others than the {COMPARED} that judge it, and "
            f"{len(calibration)} can be read; give {COMPARED + CALIBRATED} or more images"
        )
    expected = {name: np.asarray(v) for name, v in scorer.predict(judged, batch_size=25, verbose=0).items()}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from None
    with naming(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished_") as folder:
        unfinished = Path(folder) / target.name
        if format == "saved_model":
            write_saved_model(scorer, unfinished)
            found, milliseconds = _run_saved_model(unfinished, judged), {}
        else:
            write_tflite_source(scorer, Path(folder) / "source")
            model = convert(Path(folder) / "source", quantize, [image[None] for image in calibration])
            unfinished.write_bytes(pack(model, metadata, card, labelled))
            found, milliseconds = run_tflite(unfinished, judged)
        parity = Parity.measure(expected, found, names, _size(unfinished), milliseconds)
        failure = parity.failure(quantize)
        if failure:
            raise UserError(f"{target}: not written: {failure}")
        os.replace(unfinished, target)
    return Exported(target, parity)


def _target(output, name, format):
    """Where to write; a SavedModel replaces nothing, a TFLite file one of ours."""
    target = user_path(output) if output else Path(f"{name}.tflite" if format == "tflite" else f"{name}_saved_model")
    if format == "tflite" and (target.suffix != ".tflite" or target.is_dir()):
        raise UserError(f"{target}: a TFLite model is a file that ends in .tflite; name one")
    check_writable(target)
    if format == "saved_model" and target.exists():
        raise UserError(f"{target}: exists; remove it, or name another folder for the SavedModel")
    check_replaceable(target, _is_ours, "export")
    return target


def _is_ours(path):
    from clicv2_keras.utils.tflite_file import unpack

    with contextlib.suppress(UserError):
        return bool(unpack(path))
    return False


def _run_saved_model(folder, images):
    """Outputs of `serving_default`, as a server without this package would get them."""
    import numpy as np
    import tensorflow as tf

    run = tf.saved_model.load(str(folder)).signatures["serving_default"]
    batches = [run(images=tf.constant(images[i : i + 25])) for i in range(0, len(images), 25)]
    return {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in ("score", "map")}


def _size(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
