"""What only a process of another backend can show."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from quick_xla import QUICK

TESTS = Path(__file__).parent
BACKENDS = ("tensorflow", "jax", "torch")


def run(backend, *arguments):
    """Run Python under a backend; its output is the message of a failure."""
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **({"XLA_FLAGS": QUICK} if backend == "jax" else {}), "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=3600,
        cwd=TESTS.parent,
    )
    assert result.returncode == 0, f"{backend}:\n{result.stdout[-6000:]}\n{result.stderr[-3000:]}"
    return result.stdout


FOLDERS = {
    "layers and losses": [TESTS / "layers", TESTS / "losses"],
    "models": [TESTS / "models"],
}
OTHERS = [backend for backend in BACKENDS if backend != os.environ.get("KERAS_BACKEND", "tensorflow")]


PYTEST = ("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider")


def pytest_under(backend, folders):
    return run(backend, *PYTEST, *folders)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "backend"),
    [
        pytest.param(*each, marks=pytest.mark.long if each == ("models", "jax") else ())
        for each in product(FOLDERS, OTHERS)
    ],
)
def test_layers_losses_and_models_pass_on(part, backend):
    """The suite that ran here, under the other backends."""
    assert " passed" in pytest_under(backend, FOLDERS[part])


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_evaluation_and_fine_tuning_pass_on(backend):
    folders = [TESTS / "evaluation" / f"test_{name}.py" for name in ("evaluate", "evaluator", "known_images")]
    folders.append(TESTS / "training" / "test_finetune.py")
    assert " passed" in pytest_under(backend, folders)


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_what_a_run_has_learnt_is_told_on(backend):
    slow = (*PYTEST, "-m", "slow", TESTS / "training" / "test_known_complexity.py")
    assert "1 passed" in run(backend, *slow)


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_a_run_with_an_average_a_probe_and_a_guide_ends_on(backend):
    slow = (*PYTEST, "-m", "slow", TESTS / "training" / "test_guided_run.py", "-k", "branch_from_it")
    assert "1 passed" in run(backend, *slow)


@pytest.mark.slow
def test_backends_agree_on_a_training_step_and_fit_on_a_pipeline(tmp_path):
    """Same weights, same draws: losses, metrics, the weights after a step, the teacher and the embeddings."""
    results = {}
    for backend in BACKENDS:
        run(backend, TESTS / "backend_step.py", tmp_path / f"{backend}.npz")
        results[backend] = dict(np.load(tmp_path / f"{backend}.npz"))
    reference = results.pop("tensorflow")
    assert {"contrastive_loss", "entropy_loss", "embedding"} < set(reference)
    for backend, values in results.items():
        assert set(values) == set(reference)
        for name, expected in reference.items():
            np.testing.assert_allclose(values[name], expected, atol=1e-4, rtol=1e-4, err_msg=f"{backend} {name}")


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
import keras, numpy as np
from clicv2_keras import CLICv2
from clicv2_keras import ComplexityScorer
images = np.random.default_rng(0).integers(0, 256, (8, 40, 48, 3)).astype("uint8")
model = CLICv2.from_preset("vit_tiny_patch16", image_size=32, depth=1, seed=0)
model.compile(keras.optimizers.AdamW(1e-3))
model.fit(images, batch_size=4, epochs=2, verbose=0)
embeddings = model.predict(images[:, :32, :32], verbose=0)
model.save(sys.argv[1])
loaded = keras.saving.load_model(sys.argv[1])
np.testing.assert_allclose(loaded.predict(images[:, :32, :32], verbose=0), embeddings, atol=1e-5)
loaded.fit(images, batch_size=4, verbose=0)
ComplexityScorer.label_free(loaded.encoder).predict(images[:, :32, :32], verbose=0)
assert not [name for name in sys.modules if name.split(".")[0] == "tensorflow" and sys.modules[name]]
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_arrays_need_no_tensorflow(backend, tmp_path):
    run(backend, "-c", WITHOUT_TENSORFLOW, tmp_path / "model.keras")


TWO_REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
from clicv2_keras import CLICv2
from clicv2_keras.layers import RandomViews
with strategy.scope():
    model = CLICv2.from_preset("vit_tiny_patch16", image_size=32, depth=1, width=48, num_heads=2, entropy=None, seed=0)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("uint8")
logs = model.fit(tf.data.Dataset.from_tensors(images).unbatch().batch(8, drop_remainder=True), verbose=0).history

alone = RandomViews(32, views="two_crops", seed=3)(images)
with strategy.scope():
    views = RandomViews(32, views="two_crops", seed=3)
part = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(images[4 * context.replica_id_in_sync_group :][:4])
)
made = tf.function(lambda part: strategy.run(views, [part]))(part)
for name in alone:
    both = np.concatenate([half.numpy() for half in strategy.experimental_local_results(made[name])])
    # Half a batch may round otherwise.
    np.testing.assert_allclose(both.astype(int), alone[name].numpy().astype(int), atol=1)
print(logs["contrastive_loss"][0])
"""


@pytest.mark.slow
def test_replicas_contrast_against_the_keys_of_all_and_draw_what_one_device_draws():
    """Two replicas of 4 images: each query has 8 candidates, so that the loss is near 4 T ln 8 and not 4 T ln 4."""
    loss = float(run("tensorflow", "-c", TWO_REPLICAS).split()[-1])
    assert 0.9 * 0.8 * np.log(8) < loss < 1.2 * 0.8 * np.log(8)
