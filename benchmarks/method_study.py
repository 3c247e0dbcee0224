"""The study of the method: which part gives what? Hypotheses, budget and measure stand in docs/method.md.

    python benchmarks/method_study.py STAGE [--data ../shared/data]       # screen, combine, table, paper
    python benchmarks/method_study.py --plan 60                           # what is left, at 60 images a second

Runs a stage, one training after the other, and adds each to benchmarks/results/method.csv, its bootstrap samples, which
pair between runs, to method_samples.npz beside it. What stands there already is passed over, and a training that was
stopped goes on: the same command again is all that is needed. `val` is never read. method_report.py makes the tables.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from judge_encoder import judge as judge_encoder
from within_train import DATA, train_sets

from clicv2_keras.ablation.row import LEVERS, TABLE, row_changes
from clicv2_keras.recipe.cost import count_cost
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.utils.atomic_files import atomic_write, write_csv

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "method.csv"
SAMPLES = HERE / "results" / "method_samples.npz"
STAGES = ("screen", "combine", "table", "paper")
FIGURES = ("savoias", "savoias_low", "savoias_high", "nagle", "nagle_low", "nagle_high", "crop_retrieval")
SIGNS = ("retrieval", "layout_retrieval")
COLUMNS = ("row", "levers", "seed", "images", "hours", *FIGURES, *SIGNS)
# The levers that are screened: ways to read the whole method. CLIC is another objective.
SCREENED = tuple(name for name in LEVERS if name != "clic")
# Of a recipe, those whose keys are of a branch alone: the views are the contrast's.
SECTIONS = {"entropy": ("entropy",), "contrast": ("contrast", "data")}
# So much above the paper's reading, in the mean of Savoias and Nagle, a lever must be to be combined.
HELPS = 0.005
SEEDS, UNTRAINED = (0, 1, 2), (0, 1, 2, 3, 4)
FAST = ("train.precision=bfloat16", "train.jit=always")
# The same for all runs: 51,200 images, three times the corpus.
BASE = (
    "data.source=folder",
    "data.num_images=null",
    "data.image_size=96",
    "data.min_area=0.5",
    "encoder.depth=4",
    "contrast.projector_hidden=512",
    "entropy.decoder_depth=1",
    "optimizer.learning_rate=1e-3",
    "train.batch_size=64",
    "train.steps=800",
    *FAST,
    "run.checkpoint_every=200",
)
# Of Savoias' train, for how often a mean token finds another crop of its image.
CROPPED, CROP_AREA = 256, 0.3
JUDGING = 0.05  # hours a run, for the plan
# Of the 2 cores in which hours are counted: two runs side by side (`taskset`) are done sooner than one after the other.
CORES = len(os.sched_getaffinity(0)) / 2


def main(options):
    if options.plan:
        plan(options.plan)
        return
    for row, levers, seed in missing(run for run in runs_of(options.stage) if run[2] in options.seeds):
        train_and_judge(row, levers, seed, f"ablation/{row}", overrides_of(row, levers, seed), options)


def train_and_judge(row, levers, seed, recipe, overrides, options):
    """Train a recipe, or go on with it, judge it and add its row."""
    folder = options.runs / run_name(row, levers, seed)
    print(f"{row}, {'+'.join(levers) or 'as the paper'}, seed {seed}", flush=True)
    train(recipe, overrides, folder, options)
    # In a process of its own, as the training: TensorFlow keeps what it has once taken.
    judging = [sys.executable, __file__, "--judge", folder, "--data", options.data]
    figures = json.loads(subprocess.run(judging, check=True, stdout=subprocess.PIPE, text=True).stdout)
    add_samples(folder.name, figures.pop("samples"))
    settings = load_recipe(folder / "recipe.yaml").train
    images = settings.steps * settings.batch_size
    every = [*rows(), {"row": row, "levers": "+".join(levers), "seed": seed, "images": images, **figures}]
    write_csv(RESULTS, COLUMNS, ([each.get(name) for name in COLUMNS] for each in every))


def run_name(row, levers, seed):
    return "-".join((row, *levers, str(seed)))


def add_samples(run, samples):
    """Add a run's bootstrap samples, (2, resamples) of Savoias and Nagle; float16 is exact to .0005."""
    with atomic_write(SAMPLES) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **{**all_samples(), run: np.array(samples, "float16")})


def all_samples():
    """`run_name` of each run to its samples."""
    if not SAMPLES.exists():
        return {}
    with np.load(SAMPLES) as saved:
        return dict(saved)


def train(recipe, overrides, folder, options):
    """`clicv2-keras train` into a folder, as far as it has not come yet."""
    overrides = [*overrides, f"run.dir={folder}", f"data.path={options.data / 'corpus'}"]
    command = [sys.executable, "-m", "clicv2_keras", "train", recipe, "--resume"]
    subprocess.run([*command, *(part for each in overrides for part in ("--set", each))], check=True)


def runs_of(stage):
    """(row, levers, seed) of a stage, by rules that stood before the first run; see docs/method.md."""
    if stage == "screen":
        screened = [("clicv2", (), 0), *(("clicv2", (lever,), 0) for lever in SCREENED)]
        return [*(("random", (), seed) for seed in UNTRAINED), *screened]
    if stage == "combine":
        return [("clicv2", levers, 0) for levers in combinations()]
    if stage == "table":
        trained = [row for row in TABLE if row != "random"]
        return [(row, own(row, best()), seed) for seed in SEEDS for row in trained]
    readings = [(row, (), seed) for seed in SEEDS for row in ("mocov3", "pw", "clicv2")]
    return readings + [("clic", (), seed) for seed in SEEDS]


def own(row, levers):
    """The levers that change anything in a row: with those of a branch that it has not it would be the same run."""
    changed, off = row_changes([row])[row], []
    if changed.get("entropy.weight") == 0:
        off += SECTIONS["entropy"]
    if changed.get("contrast.level") == "none":
        off += SECTIONS["contrast"]
    changes = row_changes(levers)
    return tuple(lever for lever in levers if any(key.split(".")[0] not in off for key in changes[lever]))


def combinations():
    """The levers that helped, from the best alone: the best two, the best three and so on; by rank, not by name."""
    reading = score("clicv2", ())
    gains = {lever: score("clicv2", (lever,)) - reading for lever in SCREENED}
    helped = sorted((lever for lever in gains if gains[lever] >= HELPS), key=lambda lever: -gains[lever])
    return [tuple(helped[:count]) for count in range(2, len(helped) + 1)]


def best():
    """The levers of the best run of `screen` and `combine`; none where no lever is above the paper's reading."""
    tried = [(), *((lever,) for lever in SCREENED), *combinations()]
    return max(tried, key=lambda levers: score("clicv2", levers))


def score(row, levers, seed=0):
    """The mean of both sets' SRCC of a run that has ended."""
    for each in rows():
        if (each["row"], each["levers"], int(each["seed"])) == (row, "+".join(levers), seed):
            return (float(each["savoias"]) + float(each["nagle"])) / 2
    raise SystemExit(
        f"{row}, {'+'.join(levers) or 'as the paper'}, seed {seed} has no figures yet: run its stage first"
    )


def overrides_of(row, levers, seed):
    """What makes a recipe of `ablation/ROW` that run: levers change what the row itself does not."""
    found = {}
    for lever in levers:
        found |= row_changes([lever])[lever]
    found |= row_changes([row])[row]
    if found.get("contrast.level") in ("image", "none"):
        # No other tokens of the same image are there.
        found.pop("contrast.negatives", None)
    values = [f"{key}={json.dumps(value)}" for key, value in found.items()]
    return [*(each for each in BASE if each.partition("=")[0] not in found), *values, f"seed={seed}"]


def plan(speed):
    """Print the runs that are left and their hours, where the paper's reading sees `speed` images a second on 2 cores.

    The others follow by their FLOPs. Of stages that depend on earlier ones, the most that they may come to: all levers
    but the one that makes a step cheaper.
    """
    rate, total = speed * cost(("clicv2", (), 0))[1], 0.0
    dear = tuple(lever for lever in SCREENED if lever != "parts")
    most = {
        "combine": [("clicv2", dear, 0)] * (len(SCREENED) - 1),
        "table": [(row, own(row, dear), seed) for seed in SEEDS for row in TABLE if row != "random"],
    }
    for stage in STAGES:
        left = missing(most.get(stage) or runs_of(stage))
        hours = sum(images * flops / rate / 3600 + JUDGING for images, flops in map(cost, left))
        total += hours
        print(f"{stage:8} {len(left):3} runs, {hours:5.1f} hours")
    print(f"{'in all':8} {total:15.1f} hours")


def cost(run):
    """Images that a run sees, and FLOPs an image."""
    recipe = load_recipe(f"ablation/{run[0]}", overrides_of(*run))
    return recipe.train.steps * recipe.train.batch_size, count_cost(recipe).flops_per_image


def missing(runs):
    """Those of (row, levers, seed) that have no figures yet."""
    done = {(each["row"], each["levers"], int(each["seed"])) for each in rows()}
    return [run for run in runs if (run[0], "+".join(run[1]), run[2]) not in done]


def judge(folder, data):
    """Figures of a run folder: agreement with people by judge_encoder.py, content, signs, and the hours it trained.

    `samples` are those of `Agreement`, one list each of Savoias and Nagle.
    """
    figures = {"samples": []}
    for name, labelled in train_sets(data).items():
        agreement = judge_encoder(str(folder), labelled)
        figures["samples"].append(agreement.samples.tolist())
        value, low, high = agreement.headline["SRCC"]
        figures[name.lower()] = f"{value:.4f}"
        figures |= {f"{name.lower()}_low": f"{low:.3f}", f"{name.lower()}_high": f"{high:.3f}"}
    with open(folder / "metrics.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    train = load_recipe(folder / "recipe.yaml").train
    # By the median, since a training may have been held still while something else was measured.
    speed = np.median([float(line["images_per_second"]) for line in lines]) if lines else np.inf
    figures["hours"] = f"{train.steps * train.batch_size / speed / 3600 * CORES:.3f}"
    figures["crop_retrieval"] = f"{crop_retrieval(folder, data):.4f}"
    return figures | {name: lines[-1][name] for name in SIGNS if lines and lines[-1].get(name)}


def crop_retrieval(folder, data):
    """How often the mean token of a crop finds that of another crop of its image, among 256 of Savoias' train: content.

    The crops have .3 to 1 of the image's area and colours as they are, so that no layout is shared.
    """
    from clicv2_keras.data.labelled.scored_sets import open_scored
    from clicv2_keras.data.reading import load_images
    from clicv2_keras.layers import RandomViews
    from clicv2_keras.models.find_model import encoder_of, find_model

    encoder, scored = encoder_of(find_model(str(folder))), open_scored("csv", data / "savoias.csv")
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(scored.splits == "train"))[:CROPPED]
    images = load_images(scored.source, chosen, 2 * encoder.image_size)
    views = RandomViews(encoder.image_size, "two_crops", CROP_AREA, flip=False, jitter=0.0, seed=0)(images)
    tokens = [encoder.predict(np.asarray(views[name]), verbose=0).mean(axis=1) for name in ("view_a", "view_b")]
    first, second = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in tokens)
    return float(np.mean((first @ second.T).argmax(axis=1) == np.arange(len(first))))


def rows():
    if not RESULTS.exists():
        return []
    with open(RESULTS, newline="") as file:
        return list(csv.DictReader(file))


def options_of(description):
    """A parser of what every study is told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--runs", type=Path, default=Path("runs/method"))
    return parser


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("stage", nargs="?", choices=STAGES, default="screen")
    parser.add_argument("--plan", type=float, metavar="IMAGES_PER_SECOND")
    parser.add_argument("--seeds", type=int, nargs="+", default=UNTRAINED, help="of them alone, as beside the others")
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.judge:
        print(json.dumps(judge(arguments.judge, arguments.data)))
    else:
        main(arguments)
