import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import TransformerBlock


def test_agrees_with_numpy(rng):
    block = TransformerBlock(num_heads=4)
    block.build((None, None, 32))
    weights = [rng.normal(0, 0.2, w.shape).astype("float32") for w in block.get_weights()]
    block.set_weights(weights)
    tokens = rng.normal(size=(3, 7, 32)).astype("float32")
    expected = reference.transformer_block(tokens, weights, heads=4)
    np.testing.assert_allclose(ops.convert_to_numpy(block(tokens)), expected, atol=1e-4)
    alone = block(tokens, rows=np.array([5, 0, 2], "int32"))
    np.testing.assert_allclose(ops.convert_to_numpy(alone), expected[:, [5, 0, 2]], atol=1e-4)


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="num_heads=5 does not divide the width 32"):
        TransformerBlock(num_heads=5).build((None, None, 32))
