import numpy as np
import pytest
import reference
from keras import ops

from clicv2_keras.layers import EntropyDecoder, sincos_positions

KEEP = np.array([[0, 3], [1, 2]], "int32")
MASKED = np.array([[1, 2], [0, 3]], "int32")


def make(rng, depth=1, outputs=1):
    decoder = EntropyDecoder((2, 2), depth=depth, width=8, outputs=outputs)
    decoder.build((None, None, 6))
    decoder.set_weights([rng.normal(0, 0.3, w.shape).astype("float32") for w in decoder.get_weights()])
    return decoder


@pytest.mark.parametrize("outputs", [1, 3])
def test_agrees_with_numpy(rng, outputs):
    decoder = make(rng, outputs=outputs)
    visible = rng.normal(size=(2, 2, 6)).astype("float32")
    named = {w.path.split("/", 1)[-1]: ops.convert_to_numpy(w) for w in decoder.weights}
    positions = sincos_positions((2, 2), 8)
    embed = decoder.embed.get_weights()
    seen = visible @ embed[0] + embed[1] + positions[KEEP]
    asked = named["mask_token"] + positions[MASKED]
    tokens = np.concatenate([asked, seen], axis=1)
    tokens = reference.transformer_block(tokens, decoder.blocks[0].get_weights(), heads=1)
    kernel, bias = decoder.head.get_weights()
    expected = reference.layer_norm(tokens, *decoder.norm.get_weights())[:, :2] @ kernel + bias
    expected = expected[..., 0] if outputs == 1 else expected
    np.testing.assert_allclose(ops.convert_to_numpy(decoder(visible, KEEP, MASKED)), expected, atol=1e-4)


def test_a_prediction_belongs_to_its_place_not_to_its_turn(rng):
    decoder = make(rng)
    visible = rng.normal(size=(2, 2, 6)).astype("float32")
    straight = ops.convert_to_numpy(decoder(visible, KEEP, MASKED))
    swapped = ops.convert_to_numpy(decoder(visible[:, ::-1].copy(), KEEP[:, ::-1].copy(), MASKED[:, ::-1].copy()))
    np.testing.assert_allclose(straight, swapped[:, ::-1], atol=1e-5)
    assert np.abs(straight[:, 0] - straight[:, 1]).min() > 1e-4
