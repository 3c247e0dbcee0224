"""One contestant of `train_step.py`, a process of its own: `python train_step_arm.py '{"kind": "tensorflow", …}'`.

Reads numbers of steps, a line each, and answers a JSON line: for every step its wall and CPU seconds; and the megabytes
of the process at its peak during these steps, and of its libraries before a model was built. The CPUs it may use are
those it was started with, for every library alike.
"""

import json
import os
import sys
import time


def main(kind, overrides, precision="float32", **options):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = kind if kind in ("tensorflow", "jax", "torch") else "torch"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import_libraries(kind)
    libraries = megabytes()
    from clicv2_keras.recipe.files import load_recipe

    recipe = load_recipe("quickstart", [*overrides, f"train.precision={precision}"])
    run = {"reference": reference, "products": products}.get(kind, keras_step)(recipe, **options)
    for line in sys.stdin:
        forget_the_peak()
        times = run(int(line))
        print(json.dumps({"times": times, "megabytes": megabytes(), "libraries": libraries}), file=answers, flush=True)


def import_libraries(kind):
    """What a contestant of a kind cannot do without, and nothing of another's: PyTorch alone is 200 MB."""
    if kind not in ("tensorflow", "jax"):
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
    if kind in ("reference", "products"):
        return
    # A run reads its images by tf.data on every backend.
    import tensorflow  # noqa: F401

    import clicv2_keras.training.build  # noqa: F401


def forget_the_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def megabytes():
    """At the peak since it was last forgotten."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def images(recipe):
    import numpy as np

    rng, size = np.random.default_rng(0), recipe.data.image_size
    shape = (recipe.train.batch_size, size, size, 3)
    return {name: rng.integers(0, 256, shape).astype("uint8") for name in ("image", "view_a", "view_b")}


def keras_step(recipe):
    """`fit`, as a run calls it: from the end of each step to that of the next, the loss read."""
    import keras

    from clicv2_keras.training.build import build_model
    from clicv2_keras.training.callbacks.compiler_memory import GiveBackCompilerMemory

    model, batch = build_model(recipe), images(recipe)

    class Batches(keras.utils.PyDataset):
        def __init__(self, count):
            super().__init__()
            self.count = count

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            return (batch,)

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.marks = []

        def on_train_batch_end(self, index, logs):
            float(logs["loss"])
            self.marks.append(now())

    trim = GiveBackCompilerMemory()

    def run(steps):
        clock = Clock()
        model.fit(Batches(steps + 1), verbose=0, shuffle=False, callbacks=[clock, trim])
        return between(clock.marks)

    return run


def reference(recipe, **options):
    """Plain PyTorch."""
    import torch
    from train_step_torch import Reference

    contestant = Reference(recipe, **options)
    batch = [torch.from_numpy(image) for image in images(recipe).values()]
    return repeat(lambda: float(contestant.step(*batch)))


def products(recipe):
    """The counted matrix products of a step and nothing else, by PyTorch's own, on arrays of their very shapes."""
    import torch

    dtype = getattr(torch, recipe.train.precision)
    work = []
    for batch, rows, inner, columns, count in shapes_of(recipe):
        lead = () if batch == 1 else (batch,)
        pair = torch.randn(*lead, rows, inner).to(dtype), torch.randn(*lead, inner, columns).to(dtype)
        work += [pair] * count

    def step():
        for a, b in work:
            a @ b

    return repeat(step)


def shapes_of(recipe):
    """(batch, m, k, n, how often) of every product that `cost.py` counts; a product's gradients are two more."""
    from clicv2_keras.recipe.cost import count_cost
    from clicv2_keras.recipe.shapes import decoder_heads, projector_hidden

    images, cost, shape = recipe.train.batch_size, count_cost(recipe), recipe.encoder.shape()
    contrast, entropy = recipe.contrast, recipe.entropy
    found = []

    def dense(rows, inner, columns, backward):
        found.append((1, rows, inner, columns, 1))
        if backward:
            found.extend([(1, rows, columns, inner, 1), (1, inner, rows, columns, 1)])

    def block(images, tokens, width, heads, backward, read=None):
        if read is None:
            read = tokens
            dense(images * tokens, width, 3 * width, backward)
        else:
            dense(images * tokens, width, 2 * width, backward)
            dense(images * read, width, width, backward)
        for inner, columns in ((width, width), (width, 4 * width), (4 * width, width)):
            dense(images * read, inner, columns, backward)
        each, times = width // heads, 3 if backward else 1
        found.append((images * heads, read, each, tokens, times))
        found.append((images * heads, read, tokens, each, times))

    def encoder(images, tokens, backward, read=None):
        dense(images * tokens, 3 * shape["patch_size"] ** 2, shape["width"], backward)
        for index in range(shape["depth"]):
            last = index + 1 == shape["depth"]
            block(images, tokens, shape["width"], shape["num_heads"], backward, read if last else None)

    hidden, out = projector_hidden(shape["width"], contrast.projector_hidden), contrast.projection_dim
    for backward in (True, False):
        encoder(2 * images, cost.patches, backward, contrast.tokens)
        rows = 2 * images * contrast.tokens
        heads = [(shape["width"], hidden), (hidden, hidden), (hidden, out)]
        for pair in heads + [(out, hidden), (hidden, out)] * backward:
            dense(rows, *pair, backward)
    encoder(images, cost.kept, True)
    dense(images * cost.kept, shape["width"], entropy.decoder_width, True)
    for _ in range(entropy.decoder_depth):
        block(images, cost.patches, entropy.decoder_width, decoder_heads(entropy.decoder_width), True)
    return found


def repeat(step):
    def run(steps):
        marks = [now()]
        for _ in range(steps):
            step()
            marks.append(now())
        return between(marks)

    return run


def now():
    return time.perf_counter(), time.process_time()


def between(marks):
    return [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(marks, marks[1:], strict=False)]


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
