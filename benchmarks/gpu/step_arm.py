"""One contestant of `train_step.py`, a process of its own; prints a JSON line of what it measured."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
STEPS, WARM = 20, 3


def main(contestant, smoke, preset=None, batch=None):
    if contestant == "peak":
        return peak(smoke)
    os.environ["KERAS_BACKEND"] = "jax" if contestant == "jax" else "torch"
    from clicv2_keras.recipe.cost import count_cost
    from clicv2_keras.recipe.files import load_recipe

    overrides = [f"encoder.preset={preset}", f"train.batch_size={batch}", "train.precision=bfloat16"]
    overrides += ["encoder.depth=1", "data.image_size=64"] if smoke else ["data.image_size=224"]
    recipe = load_recipe("clicv2_vit_tiny", overrides)
    run = keras_on_jax(recipe) if contestant == "jax" else plain_torch(recipe, "all of it" in contestant, smoke)
    flops = count_cost(recipe).flops_per_image * batch
    return run | {"flops": flops, "images_per_second": 1000 * batch / run["milliseconds"]}


def peak(smoke):
    """FLOP/s of 8192³ bfloat16 products of random numbers."""
    import torch

    side, device = (256, "cpu") if smoke else (8192, "cuda")
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = lowest(lambda: (a @ b)[0, 0].item(), steps=10)
    name = "CPU" if smoke else torch.cuda.get_device_name()
    return {"device": name, "torch": torch.__version__, "flops_per_second": 2 * side**3 / seconds}


def keras_on_jax(recipe):
    """`train_on_batch` on arrays that lie on the device, so that the step alone is timed."""
    import jax
    from train_step_arm import images

    from clicv2_keras.training.build import build_model

    model = build_model(recipe)
    batch = {name: jax.device_put(image) for name, image in images(recipe).items()}

    def step():
        return float(model.train_on_batch(batch, return_dict=True)["loss"])

    seconds = lowest(step)
    memory = jax.local_devices()[0].memory_stats() or {}
    return {
        "milliseconds": 1000 * seconds,
        "gigabytes": memory.get("peak_bytes_in_use", 0) / 1e9,
        "jax": jax.__version__,
        "kernels": kernels(step),
    }


def kernels(step, steps=3):
    """Milliseconds a step of the kernels that take most, by the name XLA gave them."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                step()
        data = jax.profiler.ProfileData.from_file(str(next(Path(folder).rglob("*.xplane.pb"))))
        times = {}
        for plane in data.planes:
            if "GPU" in plane.name:
                for event in (event for line in plane.lines if line.name.startswith("Stream") for event in line.events):
                    times[event.name] = times.get(event.name, 0) + event.duration_ns / 1e6 / steps
    return dict(sorted(times.items(), key=lambda item: -item[1])[:30])


def plain_torch(recipe, whole, smoke):
    import torch
    from train_step_arm import images
    from train_step_torch import Reference

    device = "cpu" if smoke else "cuda"
    torch.set_float32_matmul_precision("high")
    contestant = Reference(recipe, device, compiled=True, half="whole" if whole else "autocast")
    batch = [torch.from_numpy(image).to(device) for image in images(recipe).values()]
    seconds = lowest(lambda: float(contestant.step(*batch)))
    memory = 0 if smoke else torch.cuda.max_memory_allocated() / 1e9
    return {"milliseconds": 1000 * seconds, "gigabytes": memory, "torch": torch.__version__}


def lowest(step, steps=STEPS):
    """Seconds of the fastest step; each reads its result, so that it has ended."""
    times = []
    for _ in range(WARM + steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[WARM:])


if __name__ == "__main__":
    found = main(**json.loads(sys.argv[1]))
    print(json.dumps(found))
