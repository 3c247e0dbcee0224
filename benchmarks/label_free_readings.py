"""What else could be read off tokens without a label? `python benchmarks/label_free_readings.py MODEL … [--data DIR]`

SRCC with people within `train`, Savoias the mean of 7 kinds, of the label-free score (`DiversityHead`, the first row)
and of other readings, each with its paired difference to it and 95 % intervals. MODEL as for `evaluate`;
"MODEL:untrained" is its encoder at random. `val` is not read. The best of so many is flattered: it bounds what such a
reading can give.

Tokens are taken as they are; standardised, each feature by all images; and whitened, likewise. Coding rate: log det of
I + K / λ (Ma et al. 2007, λ as in `leverage`); effective rank: the entropy of K's spectrum (Roy and Vetterli 2007).
"Drawn": a ridge on the tokens' leverage at two strengths, fitted to procedural images, whose complexity is known.
"""

import argparse
from pathlib import Path

import numpy as np
from keras import ops
from within_train import DATA, line, train_sets

from clicv2_keras.data.reading import load_images
from clicv2_keras.evaluation.agreement import Judge
from clicv2_keras.evaluation.predictors import OTHER, Prediction
from clicv2_keras.evaluation.regressions import CategoryRidge
from clicv2_keras.layers.patch_read_out import REGULARIZATIONS
from clicv2_keras.models.find_model import encoder_of, find_model
from clicv2_keras.training.known_complexity import unseen_images

SHIPPED = 1 / 64
STRENGTHS = (1 / 256, SHIPPED, 1 / 16, 1 / 4)
BATCH = 64


def main(options):
    sets = train_sets(options.data)
    for model in options.models:
        encoder = encoder_of(find_model(model.removesuffix(":untrained")))
        if model.endswith(":untrained"):
            encoder = encoder.untrained(0)
        drawn = unseen_images(encoder.image_size)
        ridge = CategoryRidge().fit(leverages(readings(tokens_of(encoder, drawn.source))), drawn.scores)
        for name, data in sets.items():
            judge = Judge(data.scores, data.categories, pooled=not data.ranked_within_category)
            found = readings(tokens_of(encoder, data.source))
            found["drawn"] = ridge.predict(leverages(found))
            agreements = {
                reading: judge.agreement(Prediction("label_free", OTHER, values, False))
                for reading, values in found.items()
            }
            first, *others = agreements.items()
            print(f"\n{model}, {name}\n{first[0]:34} {line(first[1])}")
            for reading, agreement in sorted(others, key=lambda each: -each[1].srcc):
                print(f"{reading:34} {line(agreement, first[1])}", flush=True)


def tokens_of(encoder, source):
    """Of whole images: float32 (n, N, D)."""
    batches = np.array_split(np.arange(len(source)), -(-len(source) // BATCH))
    read = (encoder(load_images(source, batch, encoder.image_size)) for batch in batches)
    return np.concatenate([ops.convert_to_numpy(ops.cast(tokens, "float32")) for tokens in read])


def readings(tokens):
    """By name, the shipped one first: float (n,)."""
    count, width = tokens.shape[1:]
    every = tokens.reshape(-1, width)
    spread, axes = np.linalg.eigh(np.cov(every.T))
    taken = {
        "as they are": tokens,
        "standardised": tokens / every.std(axis=0),
        # Directions that hardly vary hold rounding alone.
        "whitened": tokens @ (axes / np.sqrt(spread + 0.01 * spread.mean())),
    }
    found = {}
    for name, values in taken.items():
        centered = values - values.mean(axis=1, keepdims=True)
        gram = np.einsum("nid,njd->nij", centered, centered, optimize=True) / width
        spectrum = np.linalg.eigvalsh(gram).clip(0)
        for strength in STRENGTHS:
            found[f"leverage {strength:.4f}, {name}"] = (spectrum / (spectrum + strength)).mean(axis=1)
            found[f"coding rate {strength:.4f}, {name}"] = np.log1p(spectrum / strength).mean(axis=1)
        share = spectrum / spectrum.sum(axis=1, keepdims=True)
        found[f"effective rank, {name}"] = -(share * np.log(share + 1e-12)).sum(axis=1)
        side = round(count**0.5)
        square = values.reshape(-1, side, side, width)
        steps = [np.linalg.norm(np.diff(square, axis=axis), axis=-1).mean(axis=(1, 2)) for axis in (1, 2)]
        found[f"difference of neighbours, {name}"] = sum(steps)
    first = f"leverage {SHIPPED:.4f}, as they are"
    return {first: found.pop(first), **found}


def leverages(found):
    """Of `readings`, those that `PatchReadOut` gives: float (n, 2)."""
    return np.stack([found[f"leverage {strength:.4f}, as they are"] for strength in REGULARIZATIONS], axis=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, default=DATA)
    main(parser.parse_args())
