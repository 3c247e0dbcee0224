"""The README's picture: a dozen photographs from empty to busy, as a model scores them, with their maps.

    apt-get download lomiri-wallpapers-16.04 palapeli-data    # Debian's or Ubuntu's
    for package in *.deb; do dpkg-deb -x $package photographs; done
    python benchmarks/gallery.py photographs [MODEL]          # writes docs/gallery.jpg

Half of the photographs come with scikit-image and scikit-learn. Under each stand its score, its author and its licence;
all were reduced. The maps share one scale of colours.
"""

import sys
from pathlib import Path

import skimage
import sklearn
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont, ImageOps

from clicv2_keras import Scorer
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.overlays import overlay

DEBIAN = Path(sys.argv[1])
SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
WALLPAPERS = DEBIAN / "usr" / "share" / "backgrounds"
PUZZLES = DEBIAN / "usr" / "share" / "palapeli" / "collection"
PHOTOGRAPHS = {
    SKIMAGE / "moon.png": "NASA, public domain",
    SKIMAGE / "coffee.png": "R. Michetti, CC0",
    SKIMAGE / "rocket.jpg": "SpaceX, CC0",
    SKIMAGE / "astronaut.png": "NASA, public domain",
    SKLEARN / "flower.jpg": "vultilion, CC BY 2.0",
    SKLEARN / "china.jpg": "danielbuechele, CC BY 2.0",
    WALLPAPERS / "Picture_0B_by_freespace.jpg": "Freespace, CC BY 4.0",
    WALLPAPERS / "Picture_1A_by_freespace.jpg": "Freespace, CC BY 4.0",
    WALLPAPERS / "Wine_by_Jakkub_Mede.jpg": "Jakub Mede, CC BY 4.0",
    WALLPAPERS / "life_by_Aitzol_Berasategi.jpg": "Aitzol Berasategi, CC BY 4.0",
    PUZZLES / "citrus-fruits.jpg": "US Dep. of Agriculture, public domain",
    PUZZLES / "cincinnati-bridge.jpg": "Derek Jensen, public domain",
}
COLUMNS, WIDTH, HEIGHT, GAP, LINE = 3, 226, 170, 6, 30

scorer = Scorer(*sys.argv[2:])
scored = sorted(((scorer.score(file), file) for file in PHOTOGRAPHS), key=lambda pair: pair[0].score)
limits = min(score.map.min() for score, _ in scored), max(score.map.max() for score, _ in scored)
font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
bold = ImageFont.truetype(font_manager.findfont("DejaVu Sans:bold"), 17)

pair, row = 2 * WIDTH + 4 * GAP, HEIGHT + LINE + GAP
gallery = Image.new("RGB", (COLUMNS * pair - 3 * GAP, -(-len(scored) // COLUMNS) * row), "white")
draw = ImageDraw.Draw(gallery)
for number, (score, file) in enumerate(scored):
    left, top = number % COLUMNS * pair, number // COLUMNS * row
    photograph = open_rgb(file)
    both = photograph, overlay(photograph, score.map, limits)
    for place, picture in enumerate(both):
        gallery.paste(ImageOps.fit(picture, (WIDTH, HEIGHT)), (left + place * (WIDTH + GAP), top))
    draw.text((left, top + HEIGHT + 4), f"{score.score:.2f}", "black", bold)
    draw.text((left + 46, top + HEIGHT + 8), PHOTOGRAPHS[file], "#444444", font)
gallery.save(Path(__file__).resolve().parents[1] / "docs" / "gallery.jpg", quality=85, optimize=True)
