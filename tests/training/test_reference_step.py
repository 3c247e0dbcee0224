"""The rival of `benchmarks/train_step.py` does the same work: same weights and draws, same losses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from keras import ops
from load_program import load_program
from tiny_recipe import TINY

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.build import build_model
from clicv2_keras.utils.procedural import procedural_image

FILE = Path(__file__).parents[2] / "benchmarks" / "train_step_torch.py"
# Of the fixture `eagerly`.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")


def reference_of(recipe):
    return load_program(FILE).Reference(recipe)


def weights_of(model):
    """In the order of the reference's parameters."""
    encoder, contrast, decoder = model.encoder, model.contrast, model.entropy.decoder

    def head(layer):
        return [
            *(w for dense in layer.dense for w in dense.get_weights()),
            *(w for n in layer.norms for w in n.weights),
        ]

    blocks = [w for block in decoder.blocks for w in block.get_weights()]
    return [
        *(w for layer in (encoder.patch_projection, *encoder.blocks, encoder.norm) for w in layer.get_weights()),
        *head(contrast.projector),
        *head(contrast.predictor),
        decoder.mask_token,
        *(*decoder.embed.get_weights(), *blocks, *decoder.norm.get_weights(), *decoder.head.get_weights()),
    ]


def copy(weights, parameters):
    with torch.no_grad():
        for weight, parameter in zip(weights, parameters, strict=True):
            array = ops.convert_to_numpy(weight)
            parameter.copy_(torch.from_numpy((array.T if array.ndim == 2 else array).copy()))


def test_two_steps_have_the_losses_of_the_plain_pytorch_step(rng, monkeypatch, eagerly):
    overrides = [*TINY, "encoder.depth=2", "train.steps=1000", "optimizer.warmup_steps=0", "contrast.momentum=0.99"]
    recipe = load_recipe("quickstart", [*overrides, "data.image_size=64", "data.source=procedural"])
    model, reference = build_model(recipe), reference_of(recipe)
    weights = weights_of(model)
    copy(weights, reference.student.parameters())
    reference.teacher.encoder.load_state_dict(reference.student.encoder.state_dict())
    reference.teacher.projector.load_state_dict(reference.student.projector.state_dict())

    count, batch = 16, recipe.train.batch_size
    offsets = rng.integers(-8, 9, (2, batch, count, 2)).astype("int32")
    positions = rng.permutation(count)[: recipe.contrast.tokens].astype("int32")
    noise = rng.random((batch, count), "float32")
    drawn = iter([*offsets, *offsets])
    monkeypatch.setattr(model.contrast.shift, "draw", lambda rows, grid: next(drawn))
    monkeypatch.setattr(model.contrast, "_draw_positions", lambda count: positions)
    monkeypatch.setattr(model.entropy.masking, "_draw", lambda shape: ops.convert_to_tensor(noise))
    draws = [torch.from_numpy(x).long() for x in (offsets, positions, noise.argsort(1))]
    monkeypatch.setattr(reference, "draw", lambda rows: draws)

    pictures = np.stack([procedural_image(seed, 64)[0] for seed in range(3 * batch)])
    views = dict(zip(("image", "view_a", "view_b"), np.split(pictures, 3), strict=True))
    losses = []
    for _ in range(2):
        ours = model.train_on_batch(views, return_dict=True)["loss"]
        losses.append((float(ours), float(reference.step(*map(torch.from_numpy, views.values())))))
    assert losses[0][0] == pytest.approx(losses[0][1], rel=1e-5)
    assert losses[1][0] == pytest.approx(losses[1][1], rel=1e-4)
    assert abs(losses[0][0] - losses[1][0]) > 1e-2, "the step moved nothing"
