"""The README's picture: `python benchmarks/gallery.py [PRESET]` writes docs/gallery.png.

Twelve procedural images sorted by the model's score, each above its complexity map.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from clicv2_keras import ComplexityScorer
from clicv2_keras.data.pipeline import load_images
from clicv2_keras.data.procedural_source import ProceduralSource

SEED, IMAGES, SHOWN, SIDE = 2**31 - 3, 200, 12, 192

scorer = ComplexityScorer.from_preset(sys.argv[1] if len(sys.argv) > 1 else "default")
source = ProceduralSource(IMAGES, SIDE, SEED)
out = scorer.predict(load_images(source, range(IMAGES), scorer.encoder.image_size), verbose=0)
order = np.argsort(out["score"])[np.linspace(0, IMAGES - 1, SHOWN).astype(int)]
limits = {"vmin": float(out["map"].min()), "vmax": float(out["map"].max())}

figure = Figure(figsize=(SHOWN * 0.95, 2.15), layout="constrained")
axes = figure.subplots(2, SHOWN)
for column, index in enumerate(order):
    axes[0, column].imshow(source.load(index).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    axes[0, column].set_title(f"{out['score'][index]:.2f}", fontsize=9)
    shown = axes[1, column].imshow(out["map"][index], cmap="cividis", **limits)
for axis in axes.ravel():
    axis.set_axis_off()
figure.colorbar(shown, ax=axes[1], fraction=0.012, pad=0.005)
target = Path(__file__).resolve().parents[1] / "docs" / "gallery.png"
target.parent.mkdir(exist_ok=True)
figure.savefig(target, dpi=110)
