"""One training step of a tiny CLICv2 with given weights and draws, and a fit on a pipeline, under any backend.

Usage: python backend_step.py OUT.npz
"""

import sys

import keras
import numpy as np

from clicv2_keras.data.pipeline import training_dataset
from clicv2_keras.data.sources import open_source
from clicv2_keras.models import CLICv2, ContrastiveBranch, MaskedEntropyBranch, ViTEncoder

# The pipeline feeds any backend, its colours by keras-cv: as a user calls it.
source = open_source("procedural", num_images=16, image_size=32)
model = CLICv2.from_preset("vit_tiny_patch16", image_size=32, depth=1, seed=0)
model.compile(keras.optimizers.AdamW(1e-3))
history = model.fit(training_dataset(source, image_size=32, batch_size=8), steps_per_epoch=2, verbose=0).history
assert history["loss"][0] > 0


# Every backend draws its own numbers from one seed; here all get NumPy's, the same for the same shape.
def uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    values = np.random.default_rng(shape).uniform(minval, maxval, shape)
    return keras.ops.convert_to_tensor(values.astype("float32"))


def randint(shape, minval, maxval, dtype="int32", seed=None):
    values = np.random.default_rng(shape).integers(minval, maxval, shape)
    return keras.ops.convert_to_tensor(values.astype("int32"))


keras.random.uniform, keras.random.randint = uniform, randint

rng = np.random.default_rng(0)
model = CLICv2(
    ViTEncoder(image_size=32, patch_size=8, width=16, depth=2, num_heads=2),
    ContrastiveBranch(tokens=4, projector_hidden=16, projection_dim=8, momentum=0.9),
    MaskedEntropyBranch(target="both", decoder_width=16),
)
# Values where the size of a weight says nothing of its part: none is 0 or 1 any more.
weights = [v for v in model.weights if "seed_generator" not in v.path]
for variable in weights:
    variable.assign(
        rng.uniform(0.5, 1.5, variable.shape) if len(variable.shape) < 2 else rng.normal(0, 0.2, variable.shape)
    )
model.compile(keras.optimizers.SGD(0.01))
model.optimizer.build(model.trainable_variables)
images = [rng.integers(0, 256, (4, 32, 32, 3)).astype("uint8") for _ in range(3)]
logs = model.train_on_batch(dict(zip(("image", "view_a", "view_b"), images, strict=True)), return_dict=True)

results = {name: float(value) for name, value in logs.items()}
results |= {f"weight {i}: {v.path}": keras.ops.convert_to_numpy(v) for i, v in enumerate(weights)}
results["embedding"] = model.predict(images[0], verbose=0)
np.savez(sys.argv[1], **results)
