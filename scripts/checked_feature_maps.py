"""What the programs that make `FeatureMaps` share: a file is kept only where it equals what it was made of."""

import argparse
import os
import sys

import keras
import numpy as np

from clicv2_keras.models.feature_maps import FeatureMaps

TOLERANCE = 1e-3


def parser(description, image_size=None):
    """Of the arguments that `write` needs: output, maps and image size, by default `image_size`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("output", type=_keras_file, help="the .keras file to write")
    made.add_argument("--maps", type=int, nargs="+", help="numbers of the maps that are kept, from 0; all by default")
    default = f"{image_size} by default" if image_size else "their own by default"
    made.add_argument("--image-size", type=int, default=image_size, help=f"side that images are resized to; {default}")
    return made


def _keras_file(name):
    if not name.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"{name}: give a name that ends in .keras")
    return name


def write(arguments, network, mean, scale, original_maps, sides, tolerance=TOLERANCE):
    """Save a network as `FeatureMaps`, if what is read from the file equals the original on images of each side.

    Args:
        arguments: what `parser` read.
        network, mean, scale: as `FeatureMaps` takes them.
        original_maps: a function of uint8 images (B, H, W, 3), to the original's maps, float (B, h, w, C).
        sides: in pixels.
        tolerance: how far a map may differ, in units of the original map's largest number.
    """
    part = arguments.output.removesuffix(".keras") + ".part.keras"
    FeatureMaps(network, mean, scale).save(part)
    feature_maps = keras.saving.load_model(part)
    for side in sides:
        difference = largest_difference(feature_maps, original_maps, sample_images(side))
        print(f"{side} pixels: {len(feature_maps.channels)} maps, largest difference {difference:.1e} of a map's scale")
        if not difference < tolerance:
            os.remove(part)
            sys.exit(f"differs from the original by more than {tolerance}")
    feature_maps = feature_maps.select(indices=arguments.maps).copy(image_size=arguments.image_size)
    feature_maps.save(part)
    os.replace(part, arguments.output)
    print(f"{arguments.output}: equal to the original, strides {feature_maps.strides}")


def largest_difference(feature_maps, original_maps, images):
    """The largest difference of a map, in units of that map's largest number."""
    ours = [keras.ops.convert_to_numpy(x) for x in feature_maps(images)]
    theirs = [np.asarray(x) for x in original_maps(images)]
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    # What is no number stays none, as in Python's `max` it would not.
    return float(np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True)]))


def sample_images(side, seed=0):
    """uint8 (3, side, side, 3): a ramp, soft blobs and noise."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, side)[:, None, None] * np.ones((1, side, 3))
    coarse = rng.integers(0, 256, (4, 4, 3)).astype("float32")
    blobs = np.array(keras.ops.image.resize(coarse, (side, side)))
    noise = rng.integers(0, 256, (side, side, 3))
    return np.stack([ramp, blobs, noise]).clip(0, 255).astype("uint8")
