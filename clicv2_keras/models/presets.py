"""Models by name: encoders of standard sizes, and the trained models that come with the package."""

import json
import os

import h5py
import keras
import numpy as np

from clicv2_keras.utils.atomic_files import sha256
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.text import did_you_mean

SUMS = "SHA256SUMS"


def preset_config(name, presets):
    """The entry `name` of the dict `presets`.

    Raises:
        ValueError: naming what there is, nearest first.
    """
    if name in presets:
        return presets[name]
    raise ValueError(f"There is no preset {name!r}; {did_you_mean(name, presets)}there are {', '.join(presets)}.")


def save_preset(model, folder):
    """Write `model` to `folder`: `config.json`, `model.weights.h5` in float16, and the checksums of both."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "part.weights.h5"
    model.save_weights(weights)
    with h5py.File(weights) as wide, h5py.File(folder / "part.half.h5", "w") as half:
        _copy_as_half(wide, half)
    config = keras.saving.serialize_keras_object(model)
    (folder / "part.json").write_text(json.dumps(config, indent=1) + "\n")
    weights.unlink()
    os.replace(folder / "part.half.h5", folder / "model.weights.h5")
    os.replace(folder / "part.json", folder / "config.json")
    sums = [f"{sha256(folder / name)}  {name}\n" for name in ("config.json", "model.weights.h5")]
    (folder / SUMS).write_text("".join(sums))


def load_preset(cls, name):
    """The trained model `name`, a `cls` (a class or several), with float32 weights.

    Raises:
        ValueError: where there is no such preset, or it is not a `cls`.
        UserError: where a file does not match its checksum.
    """
    folder = preset_config(name, trained_presets())
    for line in (folder / SUMS).read_text().splitlines():
        checksum, file = line.split()
        if sha256(folder / file) != checksum:
            raise UserError(f"{folder / file}: does not match its checksum; install the package again")
    model = keras.saving.deserialize_keras_object(json.loads((folder / "config.json").read_text()))
    if not isinstance(model, cls):
        names = " or ".join(c.__name__ for c in (cls if isinstance(cls, tuple) else (cls,)))
        raise ValueError(f"The preset {name!r} is a {type(model).__name__}, not a {names}.")
    model.load_weights(folder / "model.weights.h5")
    return model


def _copy_as_half(source, target):
    def copy(name, item):
        if isinstance(item, h5py.Dataset):
            data = item[()]
            data = data.astype("float16") if data.dtype == np.float32 else data
            target.create_dataset(name, data=data)
        else:
            target.require_group(name)
        for key, value in item.attrs.items():
            target[name].attrs[key] = value

    source.visititems(copy)
