"""A model of this package in LiteRT."""

import contextlib
import os
import sys
import tempfile
import threading

import numpy as np

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.hub import TFLITE, hub_file, is_hub_address
from clicv2_keras.utils.package_data import PRESET_FILE, trained_presets
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.tflite_file import unpack

SIGNATURE = "serving_default"
OUTPUTS = {"score", "map", "embedding"}


class Network:
    """A model of this package in LiteRT. It may be called from several threads at once: each call has an interpreter of
    its own, made when there is none idle.

    Args:
        model: see `find_tflite`.
        threads: that one call computes with.

    Attributes:
        image_size: side S of the input in pixels.
        embedding_dim: D, how many numbers an embedding has.
        metadata: of the file, see `clicv2_keras.utils.tflite_file.TFLiteFile`.

    Raises:
        UserError: where the file is no model of this package, is broken, or LiteRT refuses it.
    """

    def __init__(self, model="default", threads=1):
        path = find_tflite(model)
        self._model, self.metadata, _ = unpack(path)
        self._threads = threads
        try:
            with _without_notices():
                runner = self._new_runner()
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        except (ValueError, RuntimeError, KeyError) as error:
            raise UserError(f"MODEL {path}: LiteRT refuses it: {' '.join(str(error).split())}") from None
        shape = tuple(inputs["image"]["shape"]) if set(inputs) == {"image"} else ()
        size = self.metadata.get("image_size")
        if shape != (1, size, size, 3) or inputs["image"]["dtype"] is not np.uint8 or set(outputs) != OUTPUTS:
            raise UserError(
                f"MODEL {path}: takes or gives other tensors than this version of clicv2-keras; export it again"
            )
        self.image_size = size
        self.embedding_dim = int(outputs["embedding"]["shape"][-1])
        self._idle = [runner]

    def __call__(self, pixels):
        """uint8 (S, S, 3) to a dict of float32: `score` (1,), `map` (1, h, w), `embedding` (1, D)."""
        try:
            runner = self._idle.pop()  # atomic, as append below: no lock is needed
        except IndexError:
            runner = self._new_runner()
        try:
            return runner(image=pixels[None])
        finally:
            self._idle.append(runner)

    def _new_runner(self):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=self._model, num_threads=self._threads)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner(SIGNATURE)


_first = threading.Lock()
_started = threading.Event()


@contextlib.contextmanager
def _without_notices():
    """LiteRT tells of itself once a process, as its first interpreter is made, past Python on stderr.

    That is dropped; what else is written there meanwhile comes after. One thread at a time, or stderr would be lost.
    """
    with contextlib.ExitStack() as stack:
        if not _started.is_set():
            stack.enter_context(_first)
        captured = None if _started.is_set() else _capture_stderr()
        try:
            yield
        finally:
            if captured:
                _release_stderr(*captured)
            _started.set()


def _capture_stderr():
    """Where stderr is and where it goes meanwhile; None where there is none, or no place to keep it."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError, ValueError):
        return None
    try:
        captured = tempfile.TemporaryFile()
    except OSError:
        os.close(kept)
        return None
    os.dup2(captured.fileno(), 2)
    return kept, captured


def _release_stderr(kept, captured):
    os.dup2(kept, 2)
    os.close(kept)
    with captured:
        captured.seek(0)
        os.write(2, b"".join(line for line in captured if not line.startswith((b"INFO: ", b"I0000 "))))


def find_tflite(model="default"):
    """The path of the `.tflite` file that MODEL stands for: a file, the name of a trained preset, or `hf://owner/name`.

    Raises:
        UserError: where there is none; what can be exported first is told how.
    """
    if is_hub_address(model):
        return hub_file(model, TFLITE)
    path = user_path(model)
    presets = trained_presets()
    if path.suffix == ".tflite" or (path.is_file() and path.suffix != ".keras"):
        return path
    # A folder that happens to be called so is none that could be scored with.
    if path.exists() and not (path.is_dir() and str(model) in presets):
        if (path / "saved_model.pb").exists():
            raise UserError(
                f"MODEL {path}: a SavedModel needs TensorFlow; "
                "export the .keras file it came from with clicv2-keras export MODEL --format tflite"
            )
        if (path / PRESET_FILE).is_file():
            raise UserError(f"MODEL {path}: is a folder; give {path / PRESET_FILE}, or a preset's name, as {path.name}")
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
