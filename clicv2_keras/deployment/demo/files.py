"""What the demo is made of, by address: for its server, and as a folder that any web host serves."""

import base64
import functools
import hashlib
import html
import io
import json
import os
import re
import tempfile
from pathlib import Path

from PIL import Image

from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.deployment.scoring.percentiles import Percentiles
from clicv2_keras.utils.atomic_files import naming
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.model_list import list_models
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.paths import StrPath, check_writable, user_path
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.tflite_file import read_fitted_to, unpack

FOLDER = Path(__file__).parent
PAGE = "index.html"
# Types of what it is made of, by the ending.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}
# Seeds of procedural images, from nearly empty to crowded.
SAMPLES = (3, 20, 18, 1, 21, 4)
SAMPLE_SIDE = 480
_HEAD = '<meta charset="utf-8">'


def demo_files(file, model):
    """What is at each address, relative to the page's: functions without arguments that give bytes.

    Args:
        file: path of a `.tflite` file.
        model: the same as `clicv2_keras.utils.tflite_file.TFLiteFile`.
    """
    told = model.metadata | _told(file) | _reference(model.metadata)
    told["saw_labels"] = bool(read_fitted_to(file)["encoder"])
    files = {path.name: path.read_bytes for path in (FOLDER / "page").iterdir() if path.suffix in TYPES}
    files |= {f"litert/{path.name}": path.read_bytes for path in (FOLDER / "litert").iterdir()}
    files |= {f"samples/{i}.png": functools.partial(_sample, seed) for i, seed in enumerate(SAMPLES)}
    return files | {
        "model.tflite": Path(file).read_bytes,
        "model.json": json.dumps(told).encode,
        "card.txt": model.card.encode,
    }


def content_policy():
    """Content from the page's own place alone, and of scripts in the page only its import map."""
    page = (FOLDER / "page" / PAGE).read_text(encoding="utf-8")
    (script,) = re.findall(r'<script type="importmap">(.*?)</script>', page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-{digest}'; style-src 'self'; "
        "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def write_demo(folder: StrPath, model: StrPath = "default") -> Path:
    """Write the demo as files: a folder that any web host serves, at whatever address. Pictures stay in the browser.

    The page carries the same content policy as the server's, which forbids the browser to send anything elsewhere.

    Args:
        folder: a new or an empty one; the page appears in it last, when all else is there.
        model: a trained preset's name, or a `.tflite` file of `clicv2-keras export`.

    Returns:
        The folder.

    Raises:
        UserError: where there is no such model, or the folder holds something or cannot be made.
    """
    folder = user_path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"--static {folder}: is there and not empty; name another folder, or remove it")
    file = find_tflite(model)
    files = demo_files(file, unpack(file))
    policy = f'{_HEAD}\n<meta http-equiv="Content-Security-Policy" content="{html.escape(content_policy())}">'
    check_writable(folder, "--static")
    folder.mkdir(parents=True, exist_ok=True)
    # Within it: a folder that is there may be the working folder or a mounted one, which nothing can take the place of.
    with naming(folder), tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as place:
        unfinished = Path(place)
        for name, content in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            body = content()
            path.write_bytes(body.replace(_HEAD.encode(), policy.encode(), 1) if name == PAGE else body)
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == PAGE):
            os.replace(path, folder / path.name)
    return folder


def _told(file):
    """What a shipped model's card says in short, for the page's words; of other files nothing is known."""
    shipped = (model for model in list_models() if trained_presets()[model.name] == Path(file).parent)
    return next(({"purpose": model.purpose, "agreement": model.agreement} for model in shipped), {})


def _reference(metadata):
    """The scores of known photographs by the model, for the page's percentages; nothing where none are stored."""
    try:
        known = Percentiles(metadata)
    except UserError:
        return {}
    return {"reference": {"photographs": known.photographs, "scores": known.scores}}


@functools.lru_cache
def _sample(seed):
    """A procedural image as PNG."""
    stream = io.BytesIO()
    Image.fromarray(procedural_image(seed, SAMPLE_SIDE)[0]).save(stream, "PNG")
    return stream.getvalue()
