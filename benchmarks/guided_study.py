"""Do contrast and masked entropy add anything beside a teacher? `python benchmarks/guided_study.py [--minutes 30]`

The recipe guided_hybrid_tiny with its guide alone, with masked entropy, with the patch-wise contrast, and with both, by
the levers that benchmarks/method_study.py chose (its stages `screen` and `combine` first). Equal minutes of 2 cores,
twice as many on one: by default an hour each, a seed on each core (`taskset`, `--seeds`). A short run tells a row's
images a second, and with them how many steps it gets. Judged as there, rows of the same method.csv. The recipe says how
to make the networks lite0_stem.keras and lite2.keras, which are needed. The same command again goes on.
"""

import csv
import json

from method_study import CORES, FAST, SECTIONS, best, missing, options_of, train, train_and_judge

from clicv2_keras.ablation.row import row_changes
from clicv2_keras.recipe.files import load_recipe

# The recipe as it was then.
RECIPE = "guided_hybrid_tiny"
THEN = ("encoder.depth=4", "encoder.stem=lite0_stem.keras", "encoder.stem_stride=32")
# What switches a branch on, and the sections whose levers are its own.
BRANCHES = {
    "mem": ("entropy.weight=1", SECTIONS["entropy"]),
    "pw": ("contrast.level=patch", SECTIONS["contrast"]),
}
ROWS = {"guide": (), "guide_mem": ("mem",), "guide_pw": ("pw",), "guide_all": ("mem", "pw")}
SEEDS = (0, 1)
# Decays in the last fifth of the steps, whatever their number.
ALIKE = ("optimizer.decay_steps=null", *THEN, *FAST)
MEASURED, LOGGED = 20, 4


def main(options):
    levers = best()
    for row, _, seed in missing([(row, levers, seed) for seed in options.seeds for row in ROWS]):
        branches = overrides_of(row, levers)
        steps = steps_of(row, levers, branches, options)
        overrides = [*branches, *ALIKE, f"train.steps={steps}", f"seed={seed}"]
        train_and_judge(row, levers, seed, RECIPE, overrides, options)


def overrides_of(row, levers):
    """What makes the recipe that row, with the levers of its branches."""
    of_levers = {key: value for lever in levers for key, value in row_changes([lever])[lever].items()}
    found = []
    for switch, sections in (BRANCHES[branch] for branch in ROWS[row]):
        found.append(switch)
        found += [f"{key}={json.dumps(value)}" for key, value in of_levers.items() if key.split(".")[0] in sections]
    return found


def steps_of(row, levers, branches, options):
    """Steps in `--minutes`, from the best speed of a short run, which is made once for all seeds.

    The best, since whatever else the machine does only slows it.
    """
    folder = options.runs / "-".join(("speed", row, *levers))
    train(RECIPE, [*branches, *ALIKE, f"train.steps={MEASURED}", f"run.log_every={LOGGED}"], folder, options)
    with open(folder / "metrics.csv", newline="") as file:
        speeds = [float(line["images_per_second"]) for line in csv.DictReader(file)]
    batch = load_recipe(folder / "recipe.yaml").train.batch_size
    return round(options.minutes * 60 / CORES * max(speeds) / batch)


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of them alone, as beside the others")
    main(parser.parse_args())
