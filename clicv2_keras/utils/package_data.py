"""What travels with the package: `recipes/` and `saved_models/`."""

from pathlib import Path

# What of a trained preset is scored with, without Keras: int8.tflite is faster, and further from the model's scores.
PRESET_FILE = "dynamic.tflite"
ALIASES = {"default": "guided_hybrid_tiny_d2_patch16_256"}
_PACKAGE = Path(__file__).resolve().parents[1]


def package_data(name: str) -> Path:
    """The folder `name` ("recipes" or "saved_models"): inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def trained_presets() -> dict[str, Path]:
    """Folders of the trained models that come with the package, by name and by alias."""
    folders = {path.parent.name: path.parent for path in sorted(package_data("saved_models").glob("*/config.json"))}
    return folders | {alias: folders[name] for alias, name in ALIASES.items() if name in folders}
