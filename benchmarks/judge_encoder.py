"""How far would a head on these encoders agree with people? `python benchmarks/judge_encoder.py MODEL … [--data DIR]`

What a search may look at, `val` is not: the ridge of `clicv2-keras evaluate` by 5 folds within `train`, on Savoias
(mean of 7 kinds) and Nagle's photographs, SRCC with 95 % intervals; beside it the paired difference to the first model.
MODEL is a preset, a run folder or a .keras file; "MODEL:stem" its encoder with its blocks at random, mean of 5 seeds.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np


def main(options):
    from clicv2_keras.data.labelled.scored_sets import open_scored
    from clicv2_keras.evaluation.evaluator import Evaluator
    from clicv2_keras.models.find_model import encoder_of, find_model

    sets = {
        "Savoias": open_scored("csv", options.data / "savoias.csv", ranked_within_category=True),
        "Nagle": open_scored("csv", options.data / "nagle.csv"),
    }
    print(f"{'model':44} {'set':8} {'SRCC':>6}  95 %           difference to the first, 95 %")
    for name, data in sets.items():
        data = data.subset(data.splits == "train")
        data = replace(data, splits=np.full(len(data), ""))
        first = None
        for model in options.models:
            stem = model.endswith(":stem")
            evaluator = Evaluator(data, predictors=("ridge",), resamples=options.resamples, untrained_seeds=5 * stem)
            found = evaluator.run(encoder_of(find_model(model.removesuffix(":stem"))))
            group = "untrained" if stem else "model"
            (agreement,) = (each for each in found.agreements if (each.group, each.predictor) == (group, "ridge"))
            value, low, high = agreement.headline["SRCC"]
            line = f"{model[-44:]:44} {name:8} {value:6.4f}  [{low:.3f}, {high:.3f}]"
            if first:
                value, low, high = agreement.above(first)
                line += f"  {value:+.4f} [{low:+.3f}, {high:+.3f}]"
            print(line, flush=True)
            first = first or agreement


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--resamples", type=int, default=1000)
    main(parser.parse_args())
