"""An export on the Hugging Face Hub, as every verb takes it from there."""

import shutil
import tempfile
from pathlib import Path

from clicv2_keras.utils.hub import CARD, KERAS, TFLITE, push
from clicv2_keras.utils.tflite_file import unpack

# What the Hub shows and searches by. The licence is the owner's to say.
_FRONT = """---
library_name: keras
pipeline_tag: image-classification
tags:
- image-complexity
- clicv2-keras
---
"""
_USE = """
## Use

```bash
clicv2-keras score --model {address} photos
```
"""


def push_model(address, tflite, model):
    """Write a `.tflite` file of an export and the model it was made from to a repository, the card as its README.

    Args:
        address: `hf://owner/name[@branch]`.
        tflite: path of the file.
        model: see `find_model`.

    Returns:
        The commit's number.

    Raises:
        UserError: see `clicv2_keras.utils.hub.push`.
    """
    from clicv2_keras.models.find_model import find_model, scorer_of

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copyfile(tflite, folder / TFLITE)
        scorer_of(find_model(model)).save(folder / KERAS)
        card = unpack(tflite).card.rstrip("\n")
        (folder / CARD).write_text(f"{_FRONT}\n{card}\n{_USE.format(address=address)}", encoding="utf-8")
        return push(address, folder)
