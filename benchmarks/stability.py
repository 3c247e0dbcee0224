"""How stable a scorer is: `python benchmarks/stability.py [MODEL] [--images FOLDER] [--count 300]`.

The images are those that `data.held_out: 300` keeps out of a training on that folder. Prints how far a mirror image, a
crop of 5 %, resizing by 0.75 and by 1.5 and JPEG q70 move their scores (95th percentile; the bound is .03); what blank
images and a busy collage score; and how many steps of an increasing blur raise the score by more than .01 (the bound is
1 %).
"""

import argparse
import io

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from clicv2_keras.data.sources import FileSource
from clicv2_keras.data.subset import split_held_out
from clicv2_keras.models.find_model import find_model, scorer_of
from clicv2_keras.utils.images import network_input

BLURS = (0, 0.5, 1, 2, 3, 4, 6, 8, 12, 16)

parser = argparse.ArgumentParser()
parser.add_argument("model", nargs="?", default="default")
parser.add_argument("--images", default="../shared/data/corpus")
parser.add_argument("--count", type=int, default=300)
arguments = parser.parse_args()

scorer = scorer_of(find_model(arguments.model))
_, source = split_held_out(FileSource.from_folder(arguments.images), arguments.count)
pictures = [source.load(i) for i in range(len(source))]


def scores(images):
    return scorer.predict(np.stack([network_input(i, scorer.encoder.image_size) for i in images]), verbose=0)["score"]


def cropped(image):
    """Without 5 % of each side, half of it at either end."""
    x, y = image.width // 40, image.height // 40
    return image.crop((x, y, image.width - x, image.height - y))


def resized(factor):
    return lambda image: image.resize([round(side * factor) for side in image.size], Image.Resampling.BICUBIC)


def compressed(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return Image.open(buffer).convert("RGB")


plain = scores(pictures)
print(
    f"{arguments.model} on {len(pictures)} images of {arguments.images}: scores {plain.min():.2f} to {plain.max():.2f}"
)
changes = {"mirror": ImageOps.mirror, "crop of 5 %": cropped, "JPEG q70": compressed}
changes |= {"resize by 0.75": resized(0.75), "resize by 1.5": resized(1.5)}
print("taught by finetune: mirror, crop of 5 %, resize by 0.75, blanks, collages; not the others")
for name, change in changes.items():
    moved = np.abs(scores([change(picture) for picture in pictures]) - plain)
    print(f"{name:<16} moves the score by {np.percentile(moved, 95):.3f} (95th percentile), {moved.max():.3f} at worst")

collage = Image.new("RGB", (640, 640))
for i, picture in enumerate(pictures[:64]):
    collage.paste(picture.resize((80, 80)), (i % 8 * 80, i // 8 * 80))
flat = [Image.new("RGB", (320, 240), color) for color in ("black", "white", "grey", "red", "navy")]
print(f"blank images score at most {scores(flat).max():.3f}, a collage of 64 pictures {scores([collage])[0]:.3f}")

blurred = np.stack([scores([p.filter(ImageFilter.GaussianBlur(b)) for p in pictures[:50]]) for b in BLURS])
rises = np.diff(blurred, axis=0) > 0.01
print(f"{rises.mean():.1%} of {rises.size} steps of an increasing blur raise the score by more than .01")
