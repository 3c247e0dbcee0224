import keras
import numpy as np
import pytest
import reference

from clicv2_keras.losses import PatchContrastiveLoss

NEGATIVES = ["same_position", "all", "entropy_weighted", "same_image"]


def entropies(rng, negatives, *shapes):
    if negatives != "entropy_weighted":
        return {}
    query, key = (rng.random(shape).astype("float32") for shape in shapes)
    return {"query_entropy": query, "key_entropy": key}


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_agrees_with_numpy(rng, negatives):
    queries, keys = rng.normal(size=(2, 6, 3, 8)).astype("float32")
    extra = entropies(rng, negatives, (6, 3), (6, 3))
    loss, hits = PatchContrastiveLoss(0.3, negatives)(queries, keys, **extra)
    expected = reference.info_nce(queries, keys, 0.3, negatives, **extra)
    np.testing.assert_allclose([float(loss), float(hits)], expected, atol=1e-5)


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_copies_are_one_candidate_more_and_hit_nothing(rng, negatives):
    queries, keys, copies = rng.normal(size=(3, 6, 3, 8)).astype("float32")
    extra = entropies(rng, negatives, (6, 3), (6, 3))
    loss, hits = PatchContrastiveLoss(0.3, negatives)(queries, keys, copies=copies, **extra)
    expected = reference.info_nce(queries, keys, 0.3, negatives, copies=copies, **extra)
    np.testing.assert_allclose([float(loss), float(hits)], expected, atol=1e-5)
    without = PatchContrastiveLoss(0.3, negatives)(queries, keys, **extra)
    assert float(loss) > float(without[0]) and float(hits) == float(without[1])


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_keys_of_other_replicas_are_negatives(rng, negatives):
    """Two replicas' queries against all keys cost, on average, what one device's do."""
    queries, keys = rng.normal(size=(2, 6, 3, 8)).astype("float32")
    extra = entropies(rng, negatives, (6, 3), (6, 3))
    loss = PatchContrastiveLoss(negatives=negatives)

    def share(first, last):
        part = dict(extra)
        if part:
            part["query_entropy"] = part["query_entropy"][first:last]
        return float(loss(queries[first:last], keys, first=first, **part)[0])

    np.testing.assert_allclose((share(0, 3) + share(3, 6)) / 2, float(loss(queries, keys, **extra)[0]), atol=1e-5)


@pytest.mark.parametrize(("negatives", "candidates"), [("same_position", 6), ("all", 18), ("same_image", 3)])
def test_chance_is_the_logarithm_of_the_candidates(negatives, candidates):
    same = np.ones((6, 3, 8), "float32")
    loss, _ = PatchContrastiveLoss(0.2, negatives)(same, same)
    np.testing.assert_allclose(float(loss), 2 * 0.2 * np.log(candidates), rtol=1e-5)


def test_perfect_queries_have_the_closed_form():
    """Orthogonal keys, each query on its own: ln(e^(1/T) + B - 1) - 1/T."""
    keys = np.eye(6, dtype="float32")[:, None, :].repeat(3, axis=1)
    loss, hits = PatchContrastiveLoss(0.5)(keys, keys)
    np.testing.assert_allclose(float(loss), 2 * 0.5 * (np.log(np.exp(2) + 5) - 2), rtol=1e-5)
    assert float(hits) == 1


def test_a_code_of_position_alone_helps_against_all_and_not_against_the_same_position():
    by_position = np.eye(3, 8, dtype="float32")[None].repeat(6, axis=0)
    chance = {"same_position": np.log(6), "all": np.log(18)}
    for negatives, expected in chance.items():
        loss = float(PatchContrastiveLoss(0.2, negatives)(by_position, by_position)[0]) / 0.4
        if negatives == "same_position":
            np.testing.assert_allclose(loss, expected, rtol=1e-5)
        else:
            assert loss < expected - 0.5


def test_patches_of_equal_entropy_do_not_repel(rng):
    queries, keys = rng.normal(size=(2, 4, 2, 8)).astype("float32")
    entropy = np.full((4, 2), 0.5, "float32")
    loss, hits = PatchContrastiveLoss(1.0, "entropy_weighted")(
        queries, keys, query_entropy=entropy, key_entropy=entropy
    )
    assert float(loss) < 1e-3
    # That none repels is no merit of the tokens, which find their own no more often.
    assert float(hits) == float(PatchContrastiveLoss(1.0, "all")(queries, keys)[1]) < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"negatives": "some"}, "negatives must be one of"), ({"temperature": 0}, "temperature must be above 0")],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatchContrastiveLoss(**arguments)


def test_images_all_alike_leave_the_weights_finite():
    """Standardised over the batch they are zeros, of which no direction is better."""

    class Heads(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(8, kernel_initializer="zeros")

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return PatchContrastiveLoss()(y_pred, y)[0]

    model = Heads()
    model.compile("sgd")
    images = np.ones((4, 3, 8), "float32")
    model.train_on_batch(images, images)
    assert all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in model.weights)
