"""What does a steady head cost? `python benchmarks/judge_steadiness.py ENCODER 0 25 50 100 [--data DIR] [--images DIR]`

For each `--steadiness` of `finetune`: SRCC of the head by 5 folds within `train` of Savoias (mean of 7 kinds) and of
Nagle's photographs, both fitted together; and, of the head fitted to the whole of both, how far a mirror image, a crop
of 5 % and resizing by 0.75 move the scores of the 300 images that no training saw (95th percentile; the bound is .03).
`val` is not looked at.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from scipy.special import expit
from scipy.stats import spearmanr
from within_train import DATA, train_sets

from clicv2_keras.data.labelled.joint_sets import join_sets
from clicv2_keras.data.reading import read_images
from clicv2_keras.data.sources import FileSource
from clicv2_keras.data.subset import split_held_out
from clicv2_keras.evaluation.folds import make_folds
from clicv2_keras.layers import PatchReadOut
from clicv2_keras.models.find_model import encoder_of, find_model
from clicv2_keras.training.fit_head import fit_head
from clicv2_keras.training.prior_knowledge import anchors, equivalent_versions
from clicv2_keras.utils.images import network_input

BATCH = 32
CHANGES = ("mirror", "crop", "crop at a corner", "resize by 0.75")


def main(options):
    encoder, read_out = encoder_of(find_model(options.model)), PatchReadOut(("token", "deviation"))
    side = encoder.image_size

    def features(images, pool=lambda features: features):
        starts = range(0, len(images), BATCH)
        tokens = (encoder.predict_on_batch(images[start : start + BATCH]) for start in starts)
        return np.concatenate([pool(keras.ops.convert_to_numpy(read_out(each))) for each in tokens])

    def versions(source):
        """Of each image the network's input and those of its equivalent versions: uint8 (n, 5, S, S, 3)."""

        def see(image):
            return [network_input(each, side) for each in (image, *equivalent_versions(image))]

        pictures = read_images(source, see, 2 * side)
        return np.stack([each.value for each in pictures])

    sets = list(train_sets(options.data).values())
    folds = [make_folds(data)[0] for data in sets]
    labels = join_sets(sets)
    seen = versions(labels.images.source)
    known = features(seen[:, 0])
    moved = [features(seen[:, i], lambda x: x.mean(axis=1, dtype="float64")) for i in range(1, seen.shape[1])]
    changes = np.stack(moved, axis=1) - known.mean(axis=1, dtype="float64")[:, None]
    pictures, extremes = anchors(seen[:, 0])
    extremes = features(pictures), extremes
    _, held_out = split_held_out(FileSource.from_folder(options.images), 300)
    unseen = versions(held_out)
    unseen = [features(unseen[:, i]) for i in range(unseen.shape[1])]

    def fit(rows, steadiness):
        prior = {"changes": changes[rows].reshape(-1, changes.shape[2]), "steadiness": steadiness, "anchors": extremes}
        scores = labels.images.scores[rows]
        return fit_head(known[rows], scores, labels.groups[rows], common=labels.common, **(prior if steadiness else {}))

    def score(head, features):
        return expit(features @ head.kernel.astype("float32") + head.bias).mean(axis=1)

    print(f"{'steadiness':>10} {'Savoias':>8} {'Nagle':>8}   " + "   ".join(CHANGES))
    for steadiness in options.steadiness:
        found = np.full(len(labels.groups), np.nan)
        for parts in zip(*folds, strict=True):
            # The second set's rows follow the first's.
            train, test = (
                np.concatenate([part[which] + start for part, start in zip(parts, (0, len(sets[0])), strict=True)])
                for which in (0, 1)
            )
            found[test] = score(fit(train, steadiness), known[test])
        by_group = {
            group: spearmanr(found[labels.groups == group], labels.images.scores[labels.groups == group])[0]
            for group in labels.group_names
        }
        nagle = by_group.pop(labels.common[0])
        head = fit(np.arange(len(found)), steadiness)
        plain = score(head, unseen[0])
        moves = [np.percentile(np.abs(score(head, each) - plain), 95) for each in unseen[1:]]
        figures = "   ".join(f"{move:{len(name)}.3f}" for move, name in zip(moves, CHANGES, strict=True))
        print(f"{steadiness:10g} {np.mean(list(by_group.values())):8.4f} {nagle:8.4f}   {figures}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("steadiness", type=float, nargs="+")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--images", type=Path, default=DATA / "corpus")
    main(parser.parse_args())
