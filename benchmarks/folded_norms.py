"""What folding normalisations into convolutions saves: `python benchmarks/folded_norms.py lite2.keras [--rounds 5]`

A network that infers, on the same images and in turns, as its layers stand and as `FeatureMaps` runs it, by
`predict_on_batch` of the backend that KERAS_BACKEND names, in float32 and in bfloat16.
"""

import argparse
import statistics
import time

import numpy as np


def main(options):
    import keras

    from clicv2_keras.models.open_feature_maps import open_feature_maps

    network = open_feature_maps(options.network)
    shape = (options.batch, options.image_size, options.image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
    print(f"{keras.backend.backend()}, {options.batch} images of {options.image_size} pixels, images a second")
    for policy in ("float32", "mixed_bfloat16"):
        folded, layers = network.copy(dtype=policy), network.copy(dtype=policy)
        layers._folded = layers.network
        seconds = [[timed(each, images) for each in (layers, folded)] for _ in range(options.rounds + 1)][1:]
        ratios = [one / other for one, other in seconds]
        rates = [options.batch / statistics.median(each) for each in zip(*seconds, strict=True)]
        print(
            f"{policy}: layers {rates[0]:.1f}, folded {rates[1]:.1f}, "
            f"in the rounds {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times"
        )


def timed(model, images):
    start = time.perf_counter()
    model.predict_on_batch(images)
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="as guide.teacher: keras_hub:PRESET, a folder or a .keras file")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=192, help="pixels; the network resizes to its own")
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())
