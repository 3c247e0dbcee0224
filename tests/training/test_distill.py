import keras
import numpy as np
import pytest

from clicv2_keras.data.pipeline import load_images
from clicv2_keras.data.procedural_source import ProceduralSource
from clicv2_keras.evaluation.statistics import srcc
from clicv2_keras.training.distill import distill
from clicv2_keras.training.pixel_measures import counted_complexity, pixel_measures
from clicv2_keras.training.student import Student
from clicv2_keras.utils.errors import UserError


def test_unseen_images_are_told_as_they_are_counted(tiny_encoder, tmp_path):
    before = tiny_encoder.get_weights()
    options = {"num_images": 300, "image_size": 64, "epochs": 10, "learning_rate": 5e-3, "progress": False}
    distill(tiny_encoder, output=tmp_path / "deep" / "scorer.keras", **options)
    scorer = keras.saving.load_model(tmp_path / "deep" / "scorer.keras")
    assert scorer.encoder.image_size == 64
    source = ProceduralSource(60, 64, seed=9)
    counted = [counted_complexity(pixel_measures(source.load(i))) for i in range(60)]
    out = scorer.predict(load_images(source, range(60), 64), verbose=0)
    assert srcc(out["score"], counted) > 0.5
    np.testing.assert_allclose(out["map"].mean(axis=(1, 2)), out["score"], atol=1e-5)
    # The model that was given stays as it was.
    for now, then in zip(tiny_encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_vectors_do_not_decay(tiny_encoder, decays):
    found = decays(Student)
    distill(tiny_encoder, num_images=12, output=None, progress=False)
    assert {moved for dimensions, moved in found if dimensions < 2} == {False}
    assert {moved for dimensions, moved in found if dimensions >= 2} == {True}


def test_a_broken_image_is_named_and_left_out(tiny_encoder, ic9600, tmp_path, capsys):
    for path in sorted((ic9600 / "images").iterdir())[:12]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    scorer = distill(tiny_encoder, tmp_path, tmp_path / "scorer.keras", epochs=1)
    assert "broken.jpg" in capsys.readouterr().out
    assert scorer.encoder.image_size == tiny_encoder.image_size


def test_mistakes_in_one_line(tiny_encoder, tmp_path):
    with pytest.raises(UserError, match="saved as a .keras file"):
        distill(tiny_encoder, output="scorer.h5", progress=False)
    with pytest.raises(UserError, match="image size 100: not a multiple of the patch, 8 pixels"):
        distill(tiny_encoder, image_size=100, output=None, progress=False)
    with pytest.raises(UserError, match="there is no such list file"):
        distill(tiny_encoder, tmp_path / "nothing", output=None, progress=False)
