"""What is saved writes down every argument that it was made with: one that is forgotten comes back as its default."""

import inspect

import keras
import pytest
from tiny_network import tiny_feature_maps

from clicv2_keras import layers, losses, models
from clicv2_keras.models.feature_maps import FeatureMaps
from clicv2_keras.models.optimizer import ConstantThenDecay, PartlySlowAdamW, PerOptimizerStep

# Every argument at another value than its default.
PLAIN = {
    layers.BatchStandardization: {"affine": False, "statistics": "position", "epsilon": 1e-3},
    layers.EntropyDecoder: {"grid": (2, 3), "depth": 1, "width": 8, "outputs": 2},
    layers.EntropyMasking: {
        "patch_size": 8,
        "mask_ratio": [0, 0.5],
        "bins": 32,
        "statistics": ("entropy", "colors"),
        "seed": 3,
    },
    layers.GuideTargets: {"strides": [2, 4], "channels": [3, 5], "grid": (2, 3), "grid_dim": 7, "pooled_dim": 8},
    layers.MeasureTargets: {"count": 5},
    layers.OtherComplexity: {"kinds": ("blur", "tile"), "seed": 6},
    layers.PatchEntropy: {"patch_size": 8, "bins": 32},
    layers.PatchReadOut: {"parts": ("token", "diversity")},
    layers.PatchStatistics: {"patch_size": 8, "names": ("gradient", "entropy"), "bins": 16},
    layers.ProjectionHead: {"depth": 2, "hidden": 6, "output": 4, "statistics": "position"},
    layers.RandomViews: {
        "image_size": 16,
        "views": "two_crops",
        "min_area": 0.5,
        "flip": False,
        "jitter": 0.1,
        "grey": 0.5,
        "seed": 4,
    },
    layers.ShiftedPatchify: {"patch_size": 8, "mode": "roll", "max_shift": 3, "seed": 5},
    layers.TransformerBlock: {"num_heads": 2, "mlp_ratio": 3},
    losses.MaskedEntropyLoss: {"momentum": 0.9, "statistics": 2},
    losses.PatchContrastiveLoss: {"temperature": 0.1, "negatives": "all"},
    models.ContrastiveBranch: {
        "level": "image",
        "negatives": "all",
        "tokens": 4,
        "temperature": 0.3,
        "projector_hidden": 16,
        "projection_dim": 8,
        "statistics": "position",
        "shift_mode": "roll",
        "max_shift": 3,
        "momentum": 0.9,
        "global_weight": 0.5,
        "keep_ratio": 0.5,
        "position_codes": False,
        "copies": ("blur",),
        "copies_weight": 2.0,
        "margin": 3.0,
        "energy_weight": 0.25,
        "bins": 16,
        "seed": 7,
    },
    models.MaskedEntropyBranch: {
        "weight": 0.5,
        "bins": 16,
        "target": "both",
        "mask_ratio": 0.5,
        "decoder_depth": 1,
        "decoder_width": 32,
        "statistics": ("entropy", "colors"),
        "visible": True,
        "seed": 8,
    },
    models.ViTEncoder: {
        "image_size": 32,
        "patch_size": 8,
        "width": 16,
        "depth": 1,
        "num_heads": 2,
        "mlp_ratio": 3,
        "freeze_patch_projection": False,
        "detail_gain": 2.0,
        "value_range": (0, 1),
    },
    models.DiversityHead: {"regularization": 0.5},
    models.LinearHead: {"parts": ("token",), "label_range": (1, 5)},
    models.CosineMomentum: {"initial": 0.9, "total_steps": 7},
    ConstantThenDecay: {"learning_rate": 1e-3, "steps": 9, "warmup": 2, "decay": 3},
    PartlySlowAdamW: {"slow": ["a/kernel"], "share": 0.5},
}


def of_parts():
    """Objects that hold others, whose arguments these are."""
    encoder = models.ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)
    stem = layers.FeatureStem(tiny_feature_maps(), trainable=True)
    guide = {"weight": 0.5, "grid_weight": 2.0, "pooled_weight": 3.0, "grid_dim": 5, "pooled_dim": 6}
    yield models.Embedder(encoder), {}
    yield models.ComplexityScorer.label_free(encoder), {}
    yield models.CLICv2(encoder, entropy=models.MaskedEntropyBranch(seed=1)), {}
    yield models.GuideBranch(tiny_feature_maps(), **guide), guide
    labels = {"groups": 3, "common": [1], "weight": 0.5}
    yield models.LabelBranch(models.LinearHead(), **labels), labels
    yield PerOptimizerStep(ConstantThenDecay(1e-3, 9), micro_batches=4), {"micro_batches": 4}
    yield FeatureMaps(tiny_feature_maps().network, mean=1.0, scale=2.0, image_size=64), {"image_size": 64}
    yield stem, {"trainable": True}
    shape = {"image_size": 32, "patch_size": 16, "width": 16, "depth": 1, "num_heads": 2, "stem_skip": False}
    yield models.ViTEncoder(**shape, stem=stem), {"stem_skip": False}


def arguments(cls):
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]


def plain(value):
    return list(value) if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("cls", PLAIN, ids=lambda cls: cls.__name__)
def test_every_argument_comes_back(cls):
    given = PLAIN[cls]
    for argument in arguments(cls):
        if argument.name in given and argument.default is not argument.empty:
            assert plain(given[argument.name]) != plain(argument.default), f"{argument.name} is at its default"
        assert argument.name in given or argument.name in ("stem", "stem_skip"), f"{argument.name} is not asked about"
    again = cls.from_config(cls(**given).get_config())
    assert {name: plain(again.get_config()[name]) for name in given} == {n: plain(v) for n, v in given.items()}


def test_every_argument_of_what_holds_others_comes_back():
    for each, given in of_parts():
        config = each.get_config()
        # A teacher is no part of what is saved.
        names = {argument.name for argument in arguments(type(each))} - {"teacher"}
        assert names <= set(config), f"{type(each).__name__} forgets {sorted(names - set(config))}"
        assert {name: plain(config[name]) for name in given} == given


def test_no_class_is_left_out():
    registered = {name for name in keras.saving.get_custom_objects() if name.startswith("clicv2_keras>")}
    here = [*PLAIN, *(type(each) for each, _ in of_parts())]
    assert registered == {f"clicv2_keras>{cls.__name__}" for cls in here}
