"""What do images without labels add to a head? `python benchmarks/judge_pseudo_labels.py NETWORK … --unlabelled DIR`

By 5 folds within `train`, NETWORK as for judge_networks.py. In every fold each network has a ridge of its own, fitted
to the fold's labels; what they say of an image on average, the ensemble's score, is a label for images that have none.
The first network's ridge is then fitted to both, people's labels and these: the head is still of one network, and
costs no more on a device. Rows: the first network alone, the ensemble, and the first with pseudo-labels of the ensemble
and, for comparison, of its own. `val` is not looked at.
"""

from pathlib import Path

import numpy as np
from judge_networks import features_of
from within_train import parser, print_judged, split_of, train_sets, with_labels

from clicv2_keras.data.sources import open_source
from clicv2_keras.evaluation.regressions import CategoryRidge

WIDTH = 36
# Its intercept is free as a category's is: what they depict has no common zero with what people judged.
UNLABELLED = "unlabelled"


def main(options):
    source = open_source("folder", options.unlabelled)
    chosen = np.random.default_rng(0).permutation(len(source))[: options.images]
    unlabelled = [features_of(source, network, chosen) for network in options.networks]
    for name, data in train_sets(options.data).items():
        features = [features_of(data.source, network) for network in options.networks]
        for share in options.labels:
            title = f"{share:.3g} of the labels, {len(chosen)} images"
            print(f"{title:{WIDTH}} {'set':8} {'SRCC':>6}  95 %           difference to the first, 95 %")
            splits = with_labels(split_of(data), share)
            rows = np.stack([_predictions(split, features, unlabelled) for split in splits], axis=1)
            names = (options.networks[0], "the ensemble", "the first, of the ensemble's labels", "of its own labels")
            print_judged(name, data, zip(names, rows, strict=True), options.resamples, WIDTH)


def _predictions(split, features, unlabelled):
    """(4, m) for the test images, by the rows that are compared."""
    groups = split.categories if split.within else np.full(len(split.scores), "")
    out = np.full((4, len(split.scores)), np.nan)
    for train, test in split.folds:
        ridges = [CategoryRidge().fit(x[train], split.scores[train], groups[train]) for x in features]
        known = [ridge.predict(x[test], groups[test]) for ridge, x in zip(ridges, features, strict=True)]
        guessed = [ridge.predict(x) for ridge, x in zip(ridges, unlabelled, strict=True)]
        out[:2, test] = known[0], np.mean(known, axis=0)
        for row, labels in ((2, np.mean(guessed, axis=0)), (3, guessed[0])):
            ridge = CategoryRidge().fit(
                np.concatenate([features[0][train], unlabelled[0]]),
                np.concatenate([split.scores[train], labels]),
                np.concatenate([groups[train], np.full(len(labels), UNLABELLED)]),
            )
            out[row, test] = ridge.predict(features[0][test], groups[test])
    return out[:, split.test]


if __name__ == "__main__":
    arguments = parser(__doc__, "networks")
    arguments.add_argument("--unlabelled", type=Path, required=True, metavar="DIR")
    arguments.add_argument("--images", type=int, default=1500)
    arguments.add_argument("--labels", type=float, nargs="+", default=[1.0], help="shares of them to fit to")
    main(arguments.parse_args())
