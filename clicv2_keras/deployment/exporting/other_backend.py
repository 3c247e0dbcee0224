"""Export under JAX or PyTorch: the weights go through a `.keras` file to a process that runs Keras on TensorFlow."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from clicv2_keras.deployment.exporting.parity import Parity
from clicv2_keras.deployment.exporting.run import Exported, export
from clicv2_keras.models.find_model import find_model
from clicv2_keras.utils.errors import UserError


def export_in_tensorflow(model, format, quantize, output, images):
    """See `export`."""
    with tempfile.TemporaryDirectory() as folder:
        if not isinstance(model, str | os.PathLike):
            path = Path(folder) / "model.keras"
            find_model(model).save(path)
            model, output = path, output or ("model.tflite" if format == "tflite" else "model_saved_model")
        arguments = [str(model), format, quantize, output and str(output), images and str(images)]
        result = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(arguments)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )
    if result.returncode:
        raise RuntimeError(f"the export on TensorFlow ended with {result.returncode}:\n{result.stderr[-3000:]}")
    answer = json.loads(result.stdout.splitlines()[-1])
    if "error" in answer:
        raise UserError(answer["error"])
    parity = answer["parity"]
    # JSON has no whole numbers as keys.
    parity["milliseconds"] = {int(threads): ms for threads, ms in parity["milliseconds"].items()}
    return Exported(Path(answer["path"]), Parity(**parity))


def main():
    """In the other process: export as told, and answer with one line of JSON."""
    try:
        path, parity = export(*json.loads(sys.argv[1]))
    except UserError as error:
        print(json.dumps({"error": str(error)}))
    else:
        print(json.dumps({"path": str(path), "parity": vars(parity)}))


if __name__ == "__main__":
    main()
