"""What an exported file says of itself."""

import os
from pathlib import Path

from clicv2_keras.models import LinearHead
from clicv2_keras.utils.hub import is_hub_address, parse_address
from clicv2_keras.utils.package_data import ALIASES, trained_presets
from clicv2_keras.utils.paths import user_path
from clicv2_keras.utils.version import __version__

RESIZE = (
    "decode, turn upright as EXIF says, to RGB over white; the whole image to {size} x {size} pixels by the "
    "antialiased triangle filter (Pillow's BILINEAR), aspect not kept; uint8"
)
CARD = """# {name}

A ComplexityScorer with a {head}, made by clicv2-keras {version} from {source}. {fitted}
No figures come with it: `clicv2-keras evaluate` measures how far it agrees with people.
"""


def describe(model, scorer, quantize):
    """The metadata and the card of an export of `scorer`, which the user named `model`."""
    source = str(model) if isinstance(model, str | Path) else type(model).__name__
    path = Path(os.path.abspath(user_path(source)))
    # A run folder that is called as a preset is what `find_model` took.
    folder = None if (path / "model.keras").is_file() else trained_presets().get(source)
    # A run folder's name may have a dot in it, or be the dot of the working folder.
    name = ALIASES.get(source, source) if folder else path.name if path.is_dir() else path.stem
    if is_hub_address(source):
        name = parse_address(source).repository.partition("/")[2]
    size = scorer.encoder.image_size
    label_range = scorer.head.label_range if isinstance(scorer.head, LinearHead) else None
    metadata = {
        "name": name,
        "image_size": size,
        "resize": RESIZE.format(size=size),
        "score_range": [0.0, 1.0],
        "label_range": label_range and list(label_range),
        "quantize": quantize,
        "version": __version__,
    }
    card = (folder or path) / "MODEL_CARD.md"
    if card.is_file():
        return metadata, card.read_text(encoding="utf-8")
    told = "No complexity that people judged was shown to it."
    if label_range:
        told = "It was fitted to human labels."
    elif scorer.encoder.fitted_to is None:
        told = "Its score was fitted to no human label; whether its encoder was, its file does not tell."
    elif scorer.encoder.fitted_to:
        told = "Human labels trained its encoder; its score was not fitted to them."
    if scorer.encoder.stem is not None:
        told += " It stands on a pretrained network, which may have learnt from labels of another kind."
    head = type(scorer.head).__name__
    return metadata, CARD.format(name=name, head=head, version=__version__, source=source, fitted=told)
