from pathlib import Path

from clicv2_keras.errors import UserError
from clicv2_keras.shipped import trained_presets

# Of what a preset ships, the smallest and fastest.
PRESET_FILE = "dynamic.tflite"


def find_tflite(model="default"):
    """The path of the `.tflite` file that MODEL stands for: a file, or the name of a trained preset.

    Raises:
        UserError: where there is none; what can be exported first is told how.
    """
    path = Path(model).expanduser()
    presets = trained_presets()
    if path.suffix == ".tflite" or (path.is_file() and path.suffix != ".keras"):
        return path
    if path.exists():
        if (path / "saved_model.pb").exists():
            raise UserError(
                f"MODEL {path}: a SavedModel needs TensorFlow; "
                "export the .keras file it came from with clicv2-keras export MODEL --format tflite"
            )
        raise UserError(
            f"MODEL {path}: scoring takes a .tflite file; make one with clicv2-keras export {path} --format tflite"
        )
    if str(model) not in presets:
        raise UserError(f"MODEL {model}: no such file, and no trained preset: those are {', '.join(presets)}")
    path = presets[str(model)] / PRESET_FILE
    if not path.is_file():
        raise UserError(
            f"MODEL {model}: this preset comes without {PRESET_FILE}; "
            f"make one with clicv2-keras export {model} --format tflite --quantize dynamic"
        )
    return path
