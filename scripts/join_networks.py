"""Several pretrained networks as one `.keras` file of `FeatureMaps`, for a stem or a teacher that has the maps of all.

    python scripts/join_networks.py two_stems.keras lite0_stem.keras yolov4_tiny_192.keras

Each reads the image by its own normalisation, and at its own size where its file names one: there it is resized,
bilinear. The joint network reads images at `--image-size`, by default at their own.
"""

import argparse
import sys

import keras
import numpy as np
from keras import layers

from clicv2_keras.models.feature_maps import FeatureMaps
from clicv2_keras.models.open_feature_maps import open_feature_maps

TOLERANCE = 1e-4


def join(networks, image_size=None):
    """`FeatureMaps` of the maps of several, in order; their weights are copied."""
    image = keras.Input((None, None, 3), name="image")
    maps = []
    for number, each in enumerate(networks):
        network, x = each.copy(image_size=None).network, image
        if each.image_size not in (None, image_size):
            size = (each.image_size, each.image_size)
            x = layers.Resizing(*size, data_format="channels_last", name=f"resized{number}")(x)
        scale, mean = np.asarray(each.scale), np.asarray(each.mean)
        x = layers.Rescaling((1 / scale).tolist(), (-mean / scale).tolist(), name=f"normalised{number}")(x)
        # Layer by layer, and not as a layer of its own, so that its normalisations are folded.
        maps += keras.tree.flatten(network.call(x))
    name = "_and_".join(each.network.name for each in networks)
    return FeatureMaps(keras.Model(image, maps, name=name), image_size=image_size)


def largest_difference(joint, networks, side=256):
    """The largest difference of a map to the single networks', in units of that map's largest number."""
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype("float32")
    ours, theirs = joint.copy(image_size=None)(images), []
    for each in networks:
        size = each.image_size if each.image_size not in (None, joint.image_size) else side
        theirs += each.copy(image_size=None)(keras.ops.image.resize(images, (size, size), data_format="channels_last"))
    pairs = [[keras.ops.convert_to_numpy(x) for x in pair] for pair in zip(ours, theirs, strict=True)]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="the .keras file to write")
    parser.add_argument("networks", nargs="+", help="networks, as encoder.stem in a recipe takes them")
    parser.add_argument("--image-size", type=int, help="side that the joint network resizes images to")
    arguments = parser.parse_args()
    if not arguments.output.endswith(".keras"):
        parser.error(f"{arguments.output}: give a name that ends in .keras")

    keras.config.set_dtype_policy("float32")
    networks = [open_feature_maps(name) for name in arguments.networks]
    joint = join(networks, arguments.image_size)
    difference = largest_difference(joint, networks)
    if not difference < TOLERANCE:
        sys.exit(f"differs from the single networks by {difference:.1e} of a map's scale")
    joint.save(arguments.output)
    print(f"{arguments.output}: {len(joint.channels)} maps of {sum(joint.channels)} channels, strides {joint.strides}")


if __name__ == "__main__":
    main()
