"""What a teacher costs: asked in every step, or beforehand? `python benchmarks/guide_cost.py [--set KEY=VALUE …]`

In one run, on the same images and cores, in turns: the recipe's step with the teacher in it, with packed targets, and
for the student alone, whose targets are zeros, so that nothing is read or computed for them. All read the same records.
Beside the steps: what it takes to pack a view. Stem, teacher and images are the recipe's.
"""

import argparse
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np


def main(options):
    import clicv2_keras
    from clicv2_keras.data.sources import FileSource
    from clicv2_keras.recipe.files import load_recipe
    from clicv2_keras.training.batches import build_dataset, measure_images
    from clicv2_keras.training.build import build_model
    from clicv2_keras.training.source import recipe_source

    recipe = load_recipe(options.recipe, options.set)
    size = recipe.train.batch_size
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images.txt")
        paths = FileSource.from_folder(recipe.data.path).paths[: options.images]
        images.write_text("".join(f"{path.resolve()}\n" for path in paths))
        records, teacher = Path(folder, "records"), recipe.guide.teacher
        clicv2_keras.prepare(images, records, progress=False)
        views = {"image_size": recipe.data.image_size, "min_area": recipe.data.min_area, "progress": False}

        def pack(count):
            """Seconds until there are so many views of each."""
            start = time.perf_counter()
            clicv2_keras.prepare(images, records, teacher=teacher, views=count, **views)
            return time.perf_counter() - start

        pack(1)
        # What opening and compiling takes falls out: one view more, and two.
        packing = (-pack(2) + pack(4)) / len(paths)
        of_records = [*options.set, "data.source=records", f"data.path={records}", "data.held_out=0"]
        asked = load_recipe(options.recipe, [*of_records, f"guide.sample={size}"])
        packed = load_recipe(options.recipe, [*of_records, "guide.teacher=packed"])

        def steps(recipe, alone=False):
            """A function that times some steps: seconds a step."""
            model, source = build_model(recipe), recipe_source(recipe)
            measure_images(model, recipe, source, None)
            if alone:
                # What is drawn for a teacher in the step is read here, and its targets are given.
                targets = model.guide.targets
                shapes = {"guide_grid": (size, math.prod(model.encoder.grid), targets.grid_dim)}
                shapes["guide_pooled"] = (size, targets.pooled_dim)
                known = {name: np.zeros(shape, "float16") for name, shape in shapes.items()}
                dataset = build_dataset(asked, source, 0, None).map(lambda batch: {**batch, **known})
            else:
                dataset = build_dataset(recipe, source, 0, None)

            def seconds():
                start = time.perf_counter()
                model.fit(dataset, steps_per_epoch=options.steps, epochs=1, shuffle=False, verbose=0)
                return (time.perf_counter() - start) / options.steps

            seconds()  # compiles
            return seconds

        kinds = {"teacher asked": steps(asked), "packed": steps(packed), "student alone": steps(packed, alone=True)}
        times = {name: [] for name in kinds}
        for _ in range(options.rounds):
            for name, seconds in kinds.items():
                times[name].append(seconds())
    print(f"{recipe.name}, {size} images a step, {options.rounds} rounds of {options.steps} steps")
    print(f"{'':15}  seconds a step (least, most)   to the student alone (least, most)")
    for name, values in times.items():
        ratios = [value / alone for value, alone in zip(values, times["student alone"], strict=True)]
        print(
            f"{name:15}  {statistics.median(values):.3f} ({min(values):.3f}, {max(values):.3f})"
            f"          {statistics.median(ratios):.3f} ({min(ratios):.3f}, {max(ratios):.3f})"
        )
    step = statistics.median(times["packed"]) / size
    print(f"packing takes {packing * 1e3:.0f} ms a view, a step with packed targets {step * 1e3:.0f} ms a view")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="guided_hybrid_tiny")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())
