"""Train CLICv2 by `model.fit` on a loader of your own, a `keras.utils.PyDataset`, under any backend.

    KERAS_BACKEND=jax python examples/fit_pydataset.py FOLDER [EPOCHS]

`clicv2-keras train` does more (checkpoints, resuming, a probe); this is for a `fit` that is part of something else.
"""

import math
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from clicv2_keras import CLICv2

SIZE, BATCH = 96, 8


class Pictures(keras.utils.PyDataset):
    """All JPEGs and PNGs below a folder, in batches of uint8 (n, SIZE, SIZE, 3). The model makes the views itself."""

    def __init__(self, folder, **kwargs):
        super().__init__(**kwargs)
        self.files = sorted(
            file for file in Path(folder).rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png")
        )

    def __len__(self):
        return math.ceil(len(self.files) / BATCH)

    def __getitem__(self, index):
        return np.stack([self.load(file) for file in self.files[index * BATCH : (index + 1) * BATCH]])

    @staticmethod
    def load(file):
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB").resize((SIZE, SIZE)))


if __name__ == "__main__":
    pictures = Pictures(sys.argv[1], workers=2)
    model = CLICv2.from_preset("vit_tiny_patch16", image_size=SIZE, depth=4)
    model.compile(keras.optimizers.AdamW(5e-4))
    model.fit(pictures, epochs=int(sys.argv[2]) if len(sys.argv) > 2 else 10)
    model.encoder.save("encoder.keras")
    print("embeddings", model.predict(pictures, verbose=0).shape)
