"""Which head should read a guided encoder?

    python benchmarks/judge_heads.py RUN/model.keras [--whole EPOCHS [--stem-rate RATE]]

By 5 folds within `train` of Savoias (mean of 7 kinds) and of Nagle's photographs, SRCC with 95 % intervals and the
paired difference to the first: a ridge on the tokens and their deviation; on what the guide's linear layers predict of
the teacher from them (the "lift"); on both side by side; and with `--whole` what `finetune --whole` makes of a ridge
and its encoder, fitted to both sets together, its stem as well at a `--stem-rate` above 0: minutes a fold, each kept in
`--folds`, so that the same command goes on.
`val` is not looked at.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from within_train import DATA, print_judged, split_of, train_sets

from clicv2_keras.data.reading import load_images

BATCH = 64


def main(options):
    from clicv2_keras.evaluation.regressions import CategoryRidge
    from clicv2_keras.models.find_model import find_model

    model = find_model(options.model)
    sets = train_sets(options.data)
    splits, images, found = {}, {}, {}
    for name, data in sets.items():
        splits[name] = split_of(data)
        images[name] = load_images(data.source, range(len(data)), model.encoder.image_size)
        tokens, lift = features(model, images[name])
        both = np.concatenate([tokens, lift], axis=1)
        for head, values in {"ridge": tokens, "ridge on the lift": lift, "ridge on both": both}.items():
            found[head, name] = splits[name].predict(CategoryRidge, values)

    if options.whole:
        head = f"{options.whole} epochs, stem at {options.stem_rate:g}"
        for name in sets:
            found[head, name] = np.full(len(sets[name]), np.nan)
        for fold in range(5):
            kept = whole_in_its_process(fold, options)
            for name in sets:
                found[head, name][splits[name].folds[fold][1]] = kept[name]

    print(f"{'head':32} {'set':8} {'SRCC':>6}  95 %           difference to the ridge, 95 %")
    for name, data in sets.items():
        heads = dict.fromkeys(head for head, _ in found)
        print_judged(name, data, ((head, found[head, name]) for head in heads), options.resamples, 32)


def whole_in_its_process(fold, options):
    """What the network that is fine-tuned on the other folds says of one: arrays by set."""
    file = options.folds / f"whole_{options.whole}_{options.stem_rate:g}_{fold}.npz"
    if not file.exists():
        options.folds.mkdir(parents=True, exist_ok=True)
        # In a process of its own: TensorFlow keeps what it has once taken.
        command = [sys.executable, __file__, options.model, "--data", options.data, "--fold", fold, "--to", file]
        rates = ["--whole", options.whole, "--stem-rate", options.stem_rate]
        subprocess.run([*map(str, command + rates)], check=True)
    return np.load(file)


def whole(options):
    """Fine-tune on all folds but one, and write what is said of that."""
    from clicv2_keras import finetune
    from clicv2_keras.evaluation.folds import make_folds
    from clicv2_keras.models.find_model import find_model

    encoder, sets = find_model(options.model).encoder, train_sets(options.data)
    folds = {name: make_folds(data)[0][options.fold] for name, data in sets.items()}
    parts = [data.subset(folds[name][0]) for name, data in sets.items()]
    settings = {"parts": ("token", "deviation"), "splits": ("",), "whole": True, "epochs": options.whole}
    # As the ridges beside it, which fit the labels alone.
    settings["steadiness"] = 0
    scorer = finetune(encoder, parts, output=None, stem_rate=options.stem_rate, **settings)
    found = {}
    for name, data in sets.items():
        images = load_images(data.source, folds[name][1], encoder.image_size)
        found[name] = scorer.predict(images, batch_size=BATCH, verbose=0)["score"]
    unfinished = options.to.with_suffix(".unfinished.npz")
    np.savez(unfinished, **found)
    os.replace(unfinished, options.to)


def features(model, images):
    """Of each image the mean tokens and deviations, (n, F), and what the guide predicts from them, (n, G + P)."""
    import keras

    from clicv2_keras.layers import PatchReadOut

    read_out, tokens, lift = PatchReadOut(("token", "deviation")), [], []
    for start in range(0, len(images), BATCH):
        batch = model.encoder.predict_on_batch(images[start : start + BATCH])
        grid, pooled = map(keras.ops.convert_to_numpy, model.guide.predict(batch))
        tokens.append(keras.ops.convert_to_numpy(read_out(batch)).mean(axis=1, dtype="float64"))
        lift.append(np.concatenate([grid.mean(axis=1), pooled], axis=1))
    return np.concatenate(tokens), np.concatenate(lift)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--whole", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--stem-rate", type=float, default=0.0)
    parser.add_argument("--folds", type=Path, default=Path("runs/judge_heads"), help="of this model alone")
    parser.add_argument("--fold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    (main if arguments.fold is None else whole)(arguments)
