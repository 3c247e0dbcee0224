"""What the study of the method found, from its rows: `python benchmarks/method_report.py` writes results/method.md.

A row's figure is the mean of its seeds. A difference is the mean over the seeds that both rows have, its interval that
of the images, by paired bootstrap; two rows differ, on a set, where their seeds do not overlap and the interval leaves
0 out. Seeds of one are no ground for that, so that in the screen nothing does.
"""

import functools
from collections import defaultdict

import numpy as np
from method_study import HERE, SCREENED, SEEDS, all_samples, own, rows, run_name

from clicv2_keras.ablation.row import TABLE
from clicv2_keras.evaluation.statistics import interval
from clicv2_keras.utils.atomic_files import write_text

REPORT = HERE / "results" / "method.md"
# Row and levers: the paper's reading.
WHOLE = ("clicv2", ())
SETS = ("Savoias", "Nagle")
SIGNS = {"crop_retrieval": "crops", "retrieval": "own view", "layout_retrieval": "by layout"}
HEAD = """# What each part of the method gives

```bash
python benchmarks/method_study.py STAGE    # screen, combine, table, paper
python benchmarks/method_report.py
```

{count} runs, {hours:.1f} hours of 2 cores so far; a row a run, with the images it saw, in [method.csv](method.csv).
SRCC with people of a ridge by 5 folds within `train`, Savoias the mean of 7 kinds; of several seeds the mean (least to
most). Measured before each fold's regression was brought to one level (30 November 2026, `evaluation/folds.py`): some
.005 too low, weak rows by up to .01. "To the first" compares the seeds that both rows have: it need not be the
difference of the two means. "Crops":
how often a mean token finds another crop of its image among 256. "Own view" and "by layout": `retrieval` and
`layout_retrieval` at the end of the run. Bold: the two rows differ, by the rule of docs/method.md.
"""


def main():
    found = defaultdict(list)
    for each in rows():
        levers = tuple(filter(None, each["levers"].split("+")))
        found[each["row"], levers].append(each | {"name": run_name(each["row"], levers, each["seed"])})
    count = sum(len(runs) for (row, _), runs in found.items() if row != "random")
    hours = sum(float(each["hours"]) for runs in found.values() for each in runs)
    parts = [HEAD.format(count=count, hours=hours)]
    parts += section("Each lever alone (one seed unless told)", screen(found), found, WHOLE)
    for (name, levers), runs in found.items():
        if name == WHOLE[0] and len(runs) >= len(SEEDS):
            title = f"The paper's table, {', '.join(levers) or 'as the paper reads'}"
            keys = [(row, own(row, levers)) for row in TABLE if row != "random"]
            parts += section(title, keys, found, (name, levers))
    parts += section("The predecessor", [("clic", ())], found, WHOLE)
    parts += section("Beside a teacher", [key for key in found if key[0].startswith("guide")], found, None)
    write_text(REPORT, "\n".join(parts) + "\n")
    print(REPORT.read_text())


def screen(found):
    """The keys of the whole method: a lever alone in the levers' order, then those of two, three and so on."""
    together = [key for key in found if key[0] == WHOLE[0] and len(key[1]) > 1]
    return [*((WHOLE[0], (lever,)) for lever in SCREENED), *sorted(together, key=lambda key: len(key[1]))]


def section(title, keys, found, base):
    """Lines of a table of the rows `keys`, those that have run, after `base` and the untrained encoders, or after the
    first of them; none where there is nothing beside it."""
    keys = [key for key in dict.fromkeys([*filter(None, [base]), *keys]) if key in found]
    if len(keys) < 2:
        return
    yield f"\n## {title}\n"
    columns = ["", "seeds", *(f"{each} | to untrained | to the first" for each in SETS), *SIGNS.values()]
    yield f"| {' | '.join(columns)} |"
    yield "| --- " * (" | ".join(columns).count("|") + 1) + "|"
    # Beside a teacher the encoder is another, on a pretrained stem.
    untrained, first = found["random", ()] if base else None, found[keys[0]]
    if untrained:
        yield table_row("untrained", untrained, None, None)
    for row, levers in keys:
        runs = found[row, levers]
        name = row + (f": {', '.join(levers)}" if levers else "")
        yield table_row(name, runs, untrained, None if runs is first else first)


def table_row(name, runs, untrained, base):
    cells = [name, str(len(runs))]
    for number, each in enumerate(SETS):
        values = values_of(runs, each)
        cells.append(f"{np.mean(values):.3f}" + (f" ({min(values):.3f} to {max(values):.3f})" if len(runs) > 1 else ""))
        cells.append(difference(runs, untrained, number, paired=False) if untrained else "")
        cells.append(difference(runs, base, number) if base else "")
    for sign in SIGNS:
        values = [float(run[sign]) for run in runs if run[sign]]
        cells.append(f"{np.mean(values):.2f}" if values else "")
    return "| " + " | ".join(cells) + " |"


def difference(runs, others, number, paired=True):
    """How much higher `runs` are, with its interval; bold where they differ. `paired`: by the seeds that both have."""
    if paired:
        seeds = {run["seed"] for run in runs} & {run["seed"] for run in others}
        runs, others = ([run for run in each if run["seed"] in seeds] for each in (runs, others))
    if not runs or not others:
        return ""
    mine, theirs = (values_of(each, SETS[number]) for each in (runs, others))
    drawn = [np.mean([samples()[run["name"]][number] for run in each], axis=0) for each in (runs, others)]
    low, high = interval(drawn[0] - drawn[1])
    text = f"{np.mean(mine) - np.mean(theirs):+.3f} [{low:+.3f}, {high:+.3f}]"
    apart = min(mine) > max(theirs) or max(mine) < min(theirs)
    enough = min(len(runs), len(others)) >= len(SEEDS)
    return f"**{text}**" if apart and enough and (low > 0 or high < 0) else text


def values_of(runs, name):
    return [float(run[name.lower()]) for run in runs]


@functools.cache
def samples():
    return {name: values.astype("float64") for name, values in all_samples().items()}


if __name__ == "__main__":
    main()
