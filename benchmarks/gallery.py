"""The README's picture: `python benchmarks/gallery.py [MODEL]` writes docs/gallery.png.

Twelve pictures that come with scikit-image, sorted by the model's score, each above its complexity map.
"""

import sys
from pathlib import Path

import numpy as np
import skimage
from matplotlib.figure import Figure
from PIL import Image

from clicv2_keras.data.pipeline import load_images
from clicv2_keras.data.sources import FileSource
from clicv2_keras.models.find_model import find_model, scorer_of

NAMES = (
    *("moon.png", "camera.png", "chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg"),
    *("hubble_deep_field.jpg", "brick.png", "grass.png", "coins.png", "page.png", "retina.jpg"),
)
SIDE = 192

scorer = scorer_of(find_model(sys.argv[1] if len(sys.argv) > 1 else "default"))
source = FileSource([Path(skimage.__file__).parent / "data" / name for name in NAMES])
out = scorer.predict(load_images(source, range(len(source)), scorer.encoder.image_size), verbose=0)
limits = {"vmin": float(out["map"].min()), "vmax": float(out["map"].max())}

figure = Figure(figsize=(len(NAMES) * 0.95, 2.15), layout="constrained")
axes = figure.subplots(2, len(NAMES))
for column, index in enumerate(np.argsort(out["score"])):
    axes[0, column].imshow(source.load(index).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    axes[0, column].set_title(f"{out['score'][index]:.2f}", fontsize=9)
    shown = axes[1, column].imshow(out["map"][index], cmap="cividis", **limits)
for axis in axes.ravel():
    axis.set_axis_off()
figure.colorbar(shown, ax=axes[1], fraction=0.012, pad=0.005)
target = Path(__file__).resolve().parents[1] / "docs" / "gallery.png"
target.parent.mkdir(exist_ok=True)
figure.savefig(target, dpi=110)
