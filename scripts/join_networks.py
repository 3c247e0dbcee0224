"""Several pretrained networks as one `.keras` file of `FeatureMaps`, for a stem or a teacher that has the maps of all.

    python scripts/join_networks.py two_stems.keras lite0_stem.keras yolov4_tiny_192.keras

Each reads the image by its own normalisation, and at its own size where its file names one: there it is resized plain
bilinear, as a device does it, where `FeatureMaps` alone takes the triangle filter. The joint network is compared with
the single ones, of images resized so, before it is kept.
"""

import functools

import keras
import numpy as np
from checked_feature_maps import parser, write
from keras import layers

from clicv2_keras.models.open_feature_maps import open_feature_maps

TOLERANCE = 1e-4


def join(networks):
    """The functional network of the maps of several `FeatureMaps`, in order: float (B, H, W, 3) in [0, 255] -> maps."""
    image = keras.Input((None, None, 3), name="image")
    maps, taken = [], set()
    for number, each in enumerate(networks):
        network, x = each.copy(image_size=None).network, image
        for layer in network.layers:
            # Variants of one family have layers of the same names.
            layer.name = layer.name if layer.name not in taken else f"{layer.name}_of_{number}"
            taken.add(layer.name)
        if each.image_size is not None:
            size = (each.image_size, each.image_size)
            x = layers.Resizing(*size, data_format="channels_last", name=f"resized{number}")(x)
        scale, mean = np.asarray(each.scale), np.asarray(each.mean)
        x = layers.Rescaling((1 / scale).tolist(), (-mean / scale).tolist(), name=f"normalised{number}")(x)
        # Layer by layer, and not as a layer of its own, so that its normalisations are folded.
        maps += keras.tree.flatten(network.call(x))
    return keras.Model(image, maps, name="_and_".join(each.network.name for each in networks))


def single_maps(networks, images):
    """The maps that each network gives of uint8 images (B, H, W, 3), resized plain bilinear, as a list of arrays."""
    maps = []
    for each in networks:
        size = (each.image_size, each.image_size) if each.image_size is not None else images.shape[1:3]
        resized = keras.ops.image.resize(images.astype("float32"), size, data_format="channels_last")
        maps += each.copy(image_size=None)(resized)
    return [keras.ops.convert_to_numpy(x) for x in maps]


def main():
    arguments = parser(__doc__)
    arguments.add_argument("networks", nargs="+", help="networks, as encoder.stem in a recipe takes them")
    arguments = arguments.parse_args()

    keras.config.set_dtype_policy("float32")
    networks = [open_feature_maps(name) for name in arguments.networks]
    write(arguments, join(networks), 0.0, 1.0, functools.partial(single_maps, networks), (256,), TOLERANCE)


if __name__ == "__main__":
    main()
