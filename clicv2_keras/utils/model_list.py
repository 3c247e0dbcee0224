"""Which models there are, what each is for, how well it agrees with people: from their cards, no keras."""

import re
from typing import NamedTuple

from clicv2_keras.utils.package_data import ALIASES, PRESET_FILE, trained_presets

_ROW = re.compile(r"^\| ([^|]+) \| (.*) \|$", re.M)


class ModelSummary(NamedTuple):
    """What a trained model's card says in short; a text is "" where the card has no such row.

    Attributes:
        name: as MODEL takes it.
        aliases: other names of it, such as `default`.
        purpose: what to take it for.
        agreement: SRCC with people's scores, and on which images.
        what: what the network is.
        licence: of the weights.
        size: of its `.tflite` file in bytes, dynamic int8; None where it has none.
    """

    name: str
    aliases: tuple[str, ...]
    purpose: str
    agreement: str
    what: str
    licence: str
    size: int | None


def list_models() -> list[ModelSummary]:
    """The trained models that come with the package, the default first, then by name."""
    names = sorted(set(trained_presets()) - set(ALIASES), key=lambda name: (name not in ALIASES.values(), name))
    return [_summary(name, trained_presets()[name]) for name in names]


def _summary(name, folder):
    card = dict(_ROW.findall((folder / "MODEL_CARD.md").read_text(encoding="utf-8")))
    file = folder / PRESET_FILE
    return ModelSummary(
        name,
        tuple(alias for alias, of in ALIASES.items() if of == name),
        card.get("for", ""),
        card.get("SRCC", ""),
        card.get("what it is", ""),
        card.get("licence", ""),
        file.stat().st_size if file.is_file() else None,
    )
