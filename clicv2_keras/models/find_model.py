"""MODEL, as every verb takes it: a preset's name, a run folder, a `.keras` file, `hf://owner/name`, or one at hand."""

import contextlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import keras

from clicv2_keras.models.clicv2 import CLICv2
from clicv2_keras.models.complexity_scorer import ComplexityScorer
from clicv2_keras.models.linear_head import LinearHead
from clicv2_keras.models.presets import load_preset, preset_config
from clicv2_keras.models.vit_encoder import ViTEncoder
from clicv2_keras.recipe.shapes import ENCODERS
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints
from clicv2_keras.utils.hub import KERAS, hub_file, is_hub_address
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.paths import user_path

# Files of a run folder, and why one may not hold them.
_LEFT_OUT = {
    "encoder_ema.keras": "; a run has it at its end, with a contrastive branch (the teacher) or with optimizer.average",
    "encoder_best.keras": "; a run has it once its probe has asked; name a data set by probe.dataset",
}
KINDS = (ComplexityScorer, CLICv2, ViTEncoder)
# As a `.keras` file's configuration names it.
BFLOAT16 = b'"mixed_bfloat16"'


def find_model(model="default"):
    """Load what `model` stands for.

    Args:
        model: a trained preset (`"default"`), a preset of random weights (`"vit_tiny_patch16"`), a run folder, a
            `.keras` file, `hf://owner/name[@revision]` (see `hub_file`), or a `ComplexityScorer`, `CLICv2` or
            `ViTEncoder`, which is returned as it is.

    Returns:
        A `ComplexityScorer`, `CLICv2` or `ViTEncoder`.

    Raises:
        UserError: where there is nothing of that name, or what is there is none of these.
    """
    if isinstance(model, KINDS):
        return model
    if is_hub_address(model):
        return _load_file(hub_file(model, KERAS), str(model))
    path = user_path(model)
    presets = trained_presets() | ENCODERS
    # Of a folder that happens to be called as a preset the preset is meant, unless it is a run's.
    if path.is_dir() and (str(model) not in presets or (path / "model.keras").is_file()):
        return _load_file(_saved_model(path))
    if path.suffix == ".keras" or path.is_file():
        return _load_file(path)
    if str(model) in ENCODERS:
        return ViTEncoder.from_preset(str(model))
    try:
        preset_config(str(model), presets)
    except ValueError as error:
        raise UserError(f"MODEL {model}: no file, no run folder, no preset. {error}") from None
    return _unlabelled(load_preset(KINDS, str(model)))


def holds_model(path):
    """Whether the `.keras` file of a path holds one of `KINDS`, as its configuration says; no weights are loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = json.loads(archive.read("config.json"))["registered_name"]
    except Exception:  # zipfile and json raise whatever a broken file leads them to
        return False
    return name in [keras.saving.get_registered_name(kind) for kind in KINDS]


def encoder_of(model):
    """The `ViTEncoder` of what `find_model` returns."""
    return model if isinstance(model, ViTEncoder) else model.encoder


def scorer_of(model):
    """The model itself where it is a `ComplexityScorer`, that of a run with labels, else the label-free one of its
    encoder."""
    if isinstance(model, ComplexityScorer):
        return model
    labels = getattr(model, "labels", None)
    return ComplexityScorer.label_free(encoder_of(model)) if labels is None else labels.scorer(model.encoder)


def fitted_head_of(model):
    """The `LinearHead` of what `find_model` returns, a scorer's or that of a run with labels; or None."""
    head = getattr(getattr(model, "labels", None) or model, "head", None)
    return head if isinstance(head, LinearHead) else None


def fitted_to_of(model):
    """To the labels of which images what `find_model` returns was fitted: the `Fingerprints` of its `encoder` and of
    its `head`, None where its file does not tell."""
    head = fitted_head_of(model)
    return {"encoder": encoder_of(model).fitted_to, "head": Fingerprints() if head is None else head.fitted_to}


def _saved_model(folder):
    """The model of a run folder."""
    path = folder / "model.keras"
    if path.is_file():
        return path
    if (folder / "model.weights.h5").is_file():
        raise UserError(f"MODEL {folder}: is the folder of a preset; give its name, such as {folder.name}")
    if (folder / "recipe.yaml").is_file():
        raise UserError(f"MODEL {folder}: this run has not ended, it holds no model.keras; train it with --resume")
    if (folder / "saved_model.pb").is_file():
        raise UserError(
            f"MODEL {folder}: a SavedModel cannot be taken apart; give the .keras file that it was made from"
        )
    raise UserError(f"MODEL {folder}: is no run folder: it holds no model.keras")


def _load_file(path, named=None):
    """The model of a file, which the user knows as `named`."""
    named = named or path
    if not path.is_file():
        why = _LEFT_OUT.get(path.name, "") if (path.parent / "recipe.yaml").is_file() else ""
        raise UserError(f"MODEL {path}: there is no such file{why}")
    if path.suffix != ".keras":
        raise UserError(f"MODEL {path}: give a .keras file, a run folder or a preset's name")
    try:
        with _in_float32(path) as file:
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # what a broken or foreign archive leads Keras to
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise UserError(f"MODEL {named}: not a model that can be loaded: {reason}") from None
    if not isinstance(model, KINDS):
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise UserError(f"MODEL {named}: holds a {type(model).__name__}, not one of {names}")
    return _unlabelled(model)


@contextlib.contextmanager
def _in_float32(path):
    """A file of the same model that computes in float32, where it was trained in bfloat16: devices have none, and every
    verb is to see the same model. Its weights are float32 anyway."""
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
        if BFLOAT16 not in config:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, path.name)
            with zipfile.ZipFile(file, "w") as copied:
                copied.writestr("config.json", config.replace(BFLOAT16, b'"float32"'))
                for name in set(archive.namelist()) - {"config.json"}:
                    with archive.open(name) as theirs, copied.open(name, "w", force_zip64=True) as ours:
                        shutil.copyfileobj(theirs, ours)
            yield file


def _unlabelled(model):
    """Files of 0.1 do not say what labels fitted, but none other than a `LinearHead` and the encoder below it was."""
    encoder = encoder_of(model)
    if encoder.fitted_to is None and fitted_head_of(model) is None:
        encoder.fitted_to = Fingerprints()
    return model
