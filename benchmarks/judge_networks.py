"""Which pretrained network is worth being a stem? `python benchmarks/judge_networks.py NETWORK …`

By 5 folds within `train`, as benchmarks/judge_encoder.py: a ridge on the mean and the deviation over the image of what
a network sees, and the paired difference to the first. NETWORK is a `.keras` file of `FeatureMaps`, of all whose maps
it reads, or else a model, whose tokens; `NETWORK@SIDE` reads images of another side, `NETWORK+NETWORK` is both side by
side. With `--labels .25 1` folds are fitted to a quarter of their labels, the mean of 8 draws, and then to all: how
good features are shows best where labels are few. `val` is not looked at.
"""

import functools

import numpy as np
from within_train import parser, print_judged, split_of, train_sets, with_labels

from clicv2_keras.data.reading import load_images

BATCH = 32
WIDTH = 52


def main(options):
    from clicv2_keras.evaluation.regressions import CategoryRidge

    for name, data in train_sets(options.data).items():
        split, features = split_of(data), functools.cache(functools.partial(features_of, data.source))
        values = [np.concatenate([features(each) for each in row.split("+")], axis=1) for row in options.networks]
        for share in options.labels:
            title = f"{share:.3g} of the labels"
            print(f"{title:{WIDTH}} {'set':8} {'SRCC':>6}  95 %           difference to the first, 95 %")
            splits = with_labels(split, share)
            predictions = (np.stack([split.predict(CategoryRidge, each) for split in splits]) for each in values)
            print_judged(name, data, zip(options.networks, predictions, strict=True), options.resamples, WIDTH)


def features_of(source, network, indices=None):
    """float64 (n, F) of the images of a source, or of some of them: of each map its mean and its deviation."""
    name, _, side = network.partition("@")
    model, maps_of = _opened(name, int(side) if side else None)
    indices = range(len(source)) if indices is None else indices
    found = []
    for start in range(0, len(indices), BATCH):
        images = load_images(source, indices[start : start + BATCH], model.image_size)
        maps = [np.asarray(x, "float64") for x in maps_of(model.predict_on_batch(images))]
        flat = [x.reshape(len(x), -1, x.shape[-1]) for x in maps]
        found.append(np.concatenate([part for x in flat for part in (x.mean(axis=1), x.std(axis=1))], axis=1))
    return np.concatenate(found)


def _opened(name, side):
    """A network that reads images of `side`, and what makes a list of maps of what it gives."""
    import keras

    from clicv2_keras.models import FeatureMaps
    from clicv2_keras.models.find_model import encoder_of, find_model

    if name.endswith(".keras") and isinstance(network := keras.saving.load_model(name), FeatureMaps):
        side = side or network.image_size
        if side is None:
            raise SystemExit(f"{name}: reads images of any size; say which: {name}@256")
        return network.copy(image_size=side), keras.tree.flatten
    encoder = encoder_of(find_model(name))
    return encoder.copy(image_size=side) if side else encoder, lambda tokens: [tokens]


if __name__ == "__main__":
    arguments = parser(__doc__, "networks")
    arguments.add_argument("--labels", type=float, nargs="+", default=[1.0], help="shares of them to fit to")
    main(arguments.parse_args())
