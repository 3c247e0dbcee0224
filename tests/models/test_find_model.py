import keras
import numpy as np
import pytest

from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.evaluation.judged_model import KerasModel
from clicv2_keras.models import CLICv2, ComplexityScorer, DiversityHead, LabelBranch, LinearHead, ViTEncoder
from clicv2_keras.models.find_model import encoder_of, find_model, fitted_head_of, fitted_to_of, scorer_of
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints
from clicv2_keras.utils.package_data import trained_presets


def test_takes_presets_files_run_folders_and_models(make_model, tmp_path):
    model = make_model()
    assert find_model(model) is model
    model.save(tmp_path / "model.keras")
    (tmp_path / "recipe.yaml").write_text("name: a run\n")
    assert isinstance(find_model(tmp_path), CLICv2)
    model.encoder.save(tmp_path / "encoder.keras")
    assert isinstance(find_model(tmp_path / "encoder.keras"), ViTEncoder)
    assert isinstance(find_model(str(tmp_path / "model.keras")), CLICv2)
    assert isinstance(find_model("vit_tiny_patch16"), ViTEncoder)
    assert isinstance(find_model("default"), ComplexityScorer)


def test_a_folder_that_happens_to_be_called_as_a_preset_is_none(make_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, kind in (("default", ComplexityScorer), ("vit_tiny_patch16", ViTEncoder)):
        (tmp_path / name).mkdir()
        assert isinstance(find_model(name), kind)
        with pytest.raises(UserError, match="is no run folder"):
            find_model(f"./{name}")
    assert find_tflite("default").parent == trained_presets()["default"]
    with pytest.raises(UserError, match="scoring takes a .tflite file"):
        find_tflite("./default")
    folder = trained_presets()["default"]
    with pytest.raises(UserError, match="is a folder; give .*dynamic.tflite"):
        find_tflite(str(folder))
    with pytest.raises(UserError, match="is the folder of a preset; give its name"):
        find_model(str(folder))
    # A run's is what it is.
    make_model().save(tmp_path / "default" / "model.keras")
    assert isinstance(find_model("default"), CLICv2)


def test_encoder_and_scorer_of_what_was_found(make_model):
    model = make_model()
    assert encoder_of(model) is encoder_of(model.encoder) is model.encoder
    scorer = scorer_of(model)
    assert isinstance(scorer.head, DiversityHead) and scorer.encoder is model.encoder
    assert scorer_of(scorer) is scorer
    assert fitted_head_of(model) is fitted_head_of(scorer) is fitted_head_of(model.encoder) is None


def test_a_run_with_labels_is_its_fitted_scorer(make_model, tmp_path):
    branch = LabelBranch(LinearHead(("token",), (1, 5)))
    model = CLICv2(make_model().encoder, labels=branch)
    branch.head.kernel.assign([1.0] * branch.head.kernel.shape[0])
    branch.head.fitted_to = Fingerprints(np.arange(194, dtype="uint8")[None])
    model.save(tmp_path / "model.keras")
    (tmp_path / "recipe.yaml").write_text("name: a run\n")
    found = find_model(tmp_path)
    scorer = scorer_of(found)
    assert scorer.head is fitted_head_of(found) is fitted_head_of(scorer) is found.labels.head
    assert scorer.head.label_range == (1, 5) and scorer.encoder is found.encoder
    assert len(fitted_to_of(found)["head"]) == 1
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    judged = KerasModel(found)
    expected = keras.ops.convert_to_numpy(ComplexityScorer(model.encoder, branch.head)(images)["score"])
    np.testing.assert_allclose(judged.read_outs(images)["scores"]["fitted"], expected, atol=1e-6)
    assert judged.mapped == "fitted" and judged.label_range == (1, 5) and not judged.saw_labels


def test_each_mistake_in_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04")
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    (unfinished / "recipe.yaml").write_text("name: a run\n")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    for model, says in {
        "defualt": "did you mean default?",
        tmp_path / "nowhere.keras": "there is no such file",
        tmp_path / "notes.txt": "give a .keras file, a run folder or a preset's name",
        tmp_path / "broken.keras": "not a model that can be loaded",
        tmp_path / "other.keras": "holds a Sequential",
        unfinished: "train it with --resume",
        tmp_path: "is no run folder",
    }.items():
        with pytest.raises(UserError, match=says) as error:
            find_model(model)
        assert "\n" not in str(error.value)


def test_what_was_trained_in_bfloat16_is_asked_in_float32(make_model, rng, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
        labelled = CLICv2(model.encoder, model.contrast, labels=LabelBranch(LinearHead(("token",)), 1))
    finally:
        keras.config.set_dtype_policy("float32")
    labelled.labels.head.fitted_to = labelled.encoder.fitted_to = Fingerprints(np.ones((3, 194), "uint8"))
    labelled.save(tmp_path / "model.keras")
    scorer = scorer_of(labelled)
    scorer.head.set_weights([rng.normal(size=w.shape) for w in scorer.head.get_weights()])
    scorer.save(tmp_path / "scorer.keras")
    for name in ("model", "scorer"):
        found = find_model(tmp_path / f"{name}.keras")
        assert {layer.dtype_policy.name for layer in found._flatten_layers()} == {"float32"}
        assert len(fitted_to_of(found)["head"]) == len(fitted_to_of(found)["encoder"]) == len(scorer.encoder.fitted_to)
    for one, other in zip(found.get_weights(), scorer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The head is not rounded where its encoder still computes in bfloat16.
    images = rng.integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    tokens = keras.ops.cast(scorer.encoder(images), "float32")
    expected = keras.ops.reshape(scorer.head.patch_scores(images, tokens, scorer.encoder), (2, *scorer.encoder.grid))
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(keras.ops.reshape(x, (2, -1))) for x in (scorer(images)["map"], expected)),
        atol=1e-6,
    )
