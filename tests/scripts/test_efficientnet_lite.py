import functools
from pathlib import Path

import keras
import numpy as np
import pytest
from load_program import load_program

from clicv2_keras.models import FeatureMaps

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "efficientnet_lite.py"
checked = load_program(SCRIPT.with_name("checked_feature_maps.py"))
STRIDES = {0: [2] + [4] * 2 + [8] * 2 + [16] * 6 + [32] * 6, 2: [2] + [4] * 3 + [8] * 3 + [16] * 8 + [32] * 7}
# Published: 4.7 and 6.1 million with the classifier of 1280 x 1000 and its bias.
PARAMETERS = {0: 4_652_008, 2: 6_092_072}


@pytest.fixture(scope="module")
def script():
    return load_program(SCRIPT)


@pytest.mark.parametrize("variant", [0, 2])
def test_the_architecture(script, variant):
    network = script.efficientnet_lite(variant)
    feature_maps = FeatureMaps(network, script.MEAN, script.SCALE)
    assert feature_maps.strides == STRIDES[variant]
    assert feature_maps.channels[-1] == 1280 and feature_maps.channels[-2] == {0: 320, 2: 352}[variant]
    trained = sum(np.prod(w.shape) for w in network.trainable_weights)
    assert trained + 1281 * 1000 == PARAMETERS[variant]


def test_its_stem_round_trips(script, images, tmp_path):
    keras.utils.set_random_seed(0)
    stem = FeatureMaps(script.efficientnet_lite(0), script.MEAN, script.SCALE).select(max_stride=4)
    stem.save(tmp_path / "stem.keras")
    loaded = keras.saving.load_model(tmp_path / "stem.keras")
    maps = [keras.ops.convert_to_numpy(x) for x in stem(images)]
    assert [x.shape for x in maps] == [(4, 16, 16, 16), (4, 8, 8, 24), (4, 8, 8, 24)]
    for ours, theirs in zip(maps, loaded(images), strict=True):
        np.testing.assert_array_equal(ours, keras.ops.convert_to_numpy(theirs))


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_it_computes_what_the_original_does(script, variant):
    """On weights drawn at random, which the package of the architecture makes without those of the weights."""
    torch = pytest.importorskip("torch")
    original = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(f"efficientnet-lite{variant}")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in original.state_dict().items():
            if value.ndim == 1:
                value.uniform_(0.5, 1.5)
            elif "fc" not in name and value.ndim:
                value.mul_(2)
    network = script.efficientnet_lite(variant)
    script.copy_weights(original.eval(), network)
    feature_maps = FeatureMaps(network, script.MEAN, script.SCALE)
    maps_of = functools.partial(script.original_maps, original)
    for side in (64, 75):
        assert checked.largest_difference(feature_maps, maps_of, checked.sample_images(side)) < checked.TOLERANCE
