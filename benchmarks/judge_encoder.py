"""How far would a head on these encoders agree with people? `python benchmarks/judge_encoder.py MODEL … [--data DIR]`

What a search may look at, `val` is not: the ridge of `clicv2-keras evaluate` by 5 folds within `train`, on Savoias
(mean of 7 kinds) and Nagle's photographs, SRCC with 95 % intervals; beside it the paired difference to the first model.
MODEL is a preset, a run folder or a .keras file; "MODEL:stem" its encoder with its blocks at random, mean of 5 seeds.
"""

from within_train import line, parser, train_sets


def main(options):
    print(f"{'model':44} {'set':8} {'SRCC':>6}  95 %           difference to the first, 95 %")
    for name, data in train_sets(options.data).items():
        first = None
        for model in options.models:
            agreement = judge(model, data, options.resamples)
            print(f"{model[-44:]:44} {name:8} {line(agreement, first)}", flush=True)
            first = first or agreement


def judge(model, data, resamples=1000):
    """The `Agreement` of a ridge on a model's encoder, by 5 folds of `data`, one of `train_sets`."""
    from clicv2_keras.evaluation.evaluator import Evaluator
    from clicv2_keras.models.find_model import encoder_of, find_model

    stem = model.endswith(":stem")
    evaluator = Evaluator(data, predictors=("ridge",), resamples=resamples, untrained_seeds=5 * stem)
    found = evaluator.run(encoder_of(find_model(model.removesuffix(":stem"))))
    group = "untrained" if stem else "model"
    (agreement,) = (each for each in found.agreements if (each.group, each.predictor) == (group, "ridge"))
    return agreement


if __name__ == "__main__":
    main(parser(__doc__, "models").parse_args())
