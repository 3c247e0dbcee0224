import keras
import numpy as np
import pytest

from clicv2_keras.models import CLICv2, ContrastiveBranch, MaskedEntropyBranch, ViTEncoder

TINY = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "num_heads": 2}


@pytest.fixture
def make_model():
    """A tiny CLICv2; keyword arguments replace the branches' own, None leaves a branch out."""

    def make(contrast=(), entropy=(), views=None, encoder=(), optimizer=None, **compile_arguments):
        keras.utils.set_random_seed(0)
        model = CLICv2(
            ViTEncoder(**{**TINY, **dict(encoder)}),
            None
            if contrast is None
            else ContrastiveBranch(
                **{"tokens": 4, "projector_hidden": 16, "projection_dim": 8, "seed": 1, **dict(contrast)}
            ),
            None if entropy is None else MaskedEntropyBranch(**{"decoder_width": 32, "seed": 3, **dict(entropy)}),
            views,
        )
        # Tiny models spend their time in compilation; jit has tests of its own.
        compile_arguments.setdefault("run_eagerly", keras.backend.backend() == "tensorflow")
        model.compile(optimizer or keras.optimizers.Adam(1e-3), **compile_arguments)
        return model

    return make


@pytest.fixture
def batch(rng):
    """Eight images whose patches run from flat to noise, and two views of them."""
    amplitude = rng.random((8, 4, 4, 1)).repeat(8, axis=1).repeat(8, axis=2)
    image = (128 + amplitude * rng.normal(0, 60, (8, 32, 32, 3))).clip(0, 255).astype("uint8")
    return {"image": image, "view_a": image, "view_b": np.ascontiguousarray(image)}
