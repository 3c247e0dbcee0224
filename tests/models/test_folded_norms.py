import keras
import numpy as np
import pytest
from keras import layers, ops

from clicv2_keras.models import FeatureMaps
from clicv2_keras.models.folded_norms import FoldedConvolution, fold_norms


def randomised(network, rng):
    for layer in network.layers:
        layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return network


def folds(network):
    """How many convolutions hold their normalisation in what `fold_norms` makes."""
    return sum(isinstance(layer, FoldedConvolution) for layer in fold_norms(network).layers)


def assert_same(ours, theirs):
    ours, theirs = (ops.convert_to_numpy(ops.cast(each, "float32")) for each in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


CONVOLUTIONS = {
    "plain": lambda: layers.Conv2D(5, 3, use_bias=False),
    "bias": lambda: layers.Conv2D(5, 3, padding="same", strides=2),
    "dilated": lambda: layers.Conv2D(5, 3, dilation_rate=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, use_bias=False, padding="same"),
    "depthwise, two of each": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2),
}
NORMS = {"all": {}, "no factor": {"scale": False}, "no offset": {"center": False}, "epsilon": {"epsilon": 0.5}}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_it_is_what_both_layers_give(convolution, norm, rng):
    image = keras.Input((9, 12, 3))
    x = layers.BatchNormalization(**NORMS[norm])(CONVOLUTIONS[convolution]()(image))
    network = randomised(keras.Model(image, layers.ReLU()(x)), rng)
    images = rng.normal(0, 1, (2, 9, 12, 3)).astype("float32")
    assert folds(network) == 1
    assert_same(fold_norms(network)(images, training=False), network(images, training=False))
    # Its weights are the network's own, as they are when it is called.
    folded = fold_norms(network)
    randomised(network, rng)
    assert_same(folded(images, training=False), network(images, training=False))


def test_a_network_within_a_network_is_folded_too(rng):
    def block(depth):
        image = keras.Input((9, 12, 3))
        inner = block(depth - 1)(image) if depth else image
        return keras.Model(image, layers.BatchNormalization()(layers.Conv2D(3, 1)(inner)))

    image = keras.Input((9, 12, 3))
    nested, images = block(2), rng.normal(0, 1, (2, 9, 12, 3)).astype("float32")
    randomised(nested, rng)
    network = keras.Model(image, layers.ReLU()(nested(image)))
    (folded,) = (layer for layer in fold_norms(network).layers if isinstance(layer, keras.Model))
    assert sum(isinstance(layer, FoldedConvolution) for layer in folded._flatten_layers()) == 3
    assert_same(fold_norms(network)(images, training=False), network(images, training=False))


def normalised(x, **options):
    return layers.BatchNormalization(**options)(x)


def twice(image):
    convolution, norm = layers.Conv2D(3, 1), layers.BatchNormalization()
    return norm(convolution(norm(convolution(image))))


def read_by_others(image):
    x = layers.Conv2D(3, 1)(image)
    return layers.Add()([normalised(x), x])


LEFT = {
    "an activation between": lambda image: normalised(layers.Conv2D(3, 1, activation="relu")(image)),
    "a layer between": lambda image: normalised(layers.ReLU()(layers.Conv2D(3, 1)(image))),
    "no convolution": normalised,
    "of another axis": lambda image: normalised(layers.Conv2D(3, 1)(image), axis=1),
    "used twice": twice,
    "read by others": read_by_others,
}


@pytest.mark.parametrize("why", LEFT)
def test_what_cannot_be_folded_stays(why, rng):
    image = keras.Input((4, 4, 3))
    network = randomised(keras.Model(image, LEFT[why](image)), rng)
    assert fold_norms(network) is network


def test_a_convolution_that_is_a_map_itself_stays(rng):
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(3, 1)(image)
    y = normalised(x)
    network = randomised(keras.Model(image, [x, normalised(layers.Conv2D(2, 1)(y))]), rng)
    images = rng.normal(0, 1, (2, 4, 4, 3)).astype("float32")
    assert folds(network) == 1
    for ours, theirs in zip(fold_norms(network)(images), network(images, training=False), strict=True):
        assert_same(ours, theirs)


@pytest.fixture
def feature_maps(rng):
    image = keras.Input((None, None, 3))
    x = layers.ReLU()(normalised(layers.Conv2D(4, 3)(image)))
    return FeatureMaps(randomised(keras.Model(image, normalised(layers.DepthwiseConv2D(3)(x))), rng))


def test_training_reaches_all_of_both(feature_maps, images):
    """A stem that is trained: a step by the folded layers moves what a step by the layers themselves moves."""
    inputs = keras.Input((32, 32, 3))
    weights, steps, folded = feature_maps.get_weights(), [], feature_maps._folded
    assert folded is not feature_maps.network
    for network in (folded, feature_maps.network):
        feature_maps._folded = network
        feature_maps.set_weights(weights)
        model = keras.Model(inputs, layers.GlobalAveragePooling2D()(feature_maps(inputs)[0]))
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        model.fit(images / np.float32(255), np.ones((4, 4)), batch_size=4, verbose=0)
        steps.append([now - then for now, then in zip(feature_maps.get_weights(), weights, strict=True)])
    for one, other in zip(*steps, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 + 1e-3 * np.abs(other).max())
    # Kernel, bias, factor and offset of two; statistics never move.
    assert sum(bool(np.abs(step).max()) for step in steps[0]) == 8


def test_it_leaves_nothing_in_what_is_saved(feature_maps, images, tmp_path):
    before = feature_maps(images)[0]
    assert len(feature_maps.weights) == 12 and len(feature_maps.variables) == 12
    feature_maps.save(tmp_path / "maps.keras")
    loaded = keras.saving.load_model(tmp_path / "maps.keras")
    assert [type(layer) for layer in loaded.network.layers] == [type(layer) for layer in feature_maps.network.layers]
    assert not any(isinstance(layer, FoldedConvolution) for layer in loaded._flatten_layers())
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(images)[0]), ops.convert_to_numpy(before))


def test_the_first_call_may_be_a_trace_without_variables(feature_maps, images):
    """JAX's `fit` takes the variables' values away while it runs; a momentum teacher is called there first."""
    copied = feature_maps.copy()
    values = [[v.value for v in each] for each in (copied.trainable_variables, copied.non_trainable_variables)]
    for variable in copied.variables:
        variable._value = None
    (found,), _ = copied.stateless_call(*values, images)
    assert_same(found, ops.convert_to_numpy(feature_maps(images)[0]))
