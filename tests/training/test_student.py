import numpy as np
from keras import ops

from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.training.student import Student


def test_two_crops_of_each_image_and_what_they_differ_by(tiny_encoder, rng):
    scorer = ComplexityScorer(tiny_encoder, LinearHead(("token", "deviation")))
    scorer.head.kernel.assign(rng.normal(size=scorer.head.kernel.shape))
    student = Student(scorer, count=3, seed=0)
    noise, blank = rng.integers(0, 256, (40, 40, 3)), np.full((40, 40, 3), 90)
    found = {k: ops.convert_to_numpy(v) for k, v in student(np.stack([noise, blank]).astype("uint8")).items()}
    assert {name: value.shape for name, value in found.items()} == {
        "score": (2, 2),
        "measures": (2, 2, 3),
        "score_change": (2,),
        "measures_change": (2, 3),
    }
    for name in ("score", "measures"):
        change = found[f"{name}_change"]
        np.testing.assert_allclose(change, found[name][:, 0] - found[name][:, 1], atol=1e-6)
        assert np.abs(change[0]).min() > 1e-4, "two crops of noise differ"
        np.testing.assert_allclose(change[1], 0, atol=1e-5)
