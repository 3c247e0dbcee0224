"""Exports, made by the real converters and run by the real interpreters."""

import io
import os
import resource
import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from tiny_network import tiny_feature_maps

from clicv2_keras.deployment.exporting import parity, run
from clicv2_keras.deployment.exporting.describe import describe
from clicv2_keras.deployment.exporting.formats_tensorflow import convert, write_tflite_source
from clicv2_keras.deployment.exporting.parity import Parity, images_to_compare_on
from clicv2_keras.deployment.exporting.run import export
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.layers import FeatureStem
from clicv2_keras.models import ComplexityScorer, LinearHead, ViTEncoder
from clicv2_keras.models.find_model import find_model
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints
from clicv2_keras.utils.images import network_input
from clicv2_keras.utils.package_data import ALIASES
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.tflite_file import unpack


@pytest.fixture(scope="module")
def scorer():
    """A tiny scorer with a fitted head; its scores are spread over the images."""
    keras.utils.set_random_seed(0)
    scorer = ComplexityScorer(
        ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2), LinearHead(label_range=(1, 5))
    )
    scorer.head.kernel.assign(np.random.default_rng(0).normal(0, 0.4, scorer.head.kernel.shape))
    return scorer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """300 images that can be read: 200 to compare on, 100 to calibrate."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(300):
        Image.fromarray(procedural_image(i, 40)[0]).save(folder / f"{i:03d}.png")
    (folder / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "extra.png").write_bytes((folder / "001.png").read_bytes())
    return folder


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_tflite(scorer, folder, tmp_path, quantize):
    path, measured = export(scorer, "tflite", quantize, tmp_path / "new" / "tiny.tflite", folder)
    assert [p.name for p in path.parent.iterdir()] == ["tiny.tflite"]
    assert measured.images == 200 and measured.failure(quantize) is None and set(measured.milliseconds) == {1, 2}
    model, metadata, card = unpack(path)
    assert metadata["image_size"] == 32 and metadata["quantize"] == quantize and metadata["label_range"] == [1, 5]
    assert "32 x 32" in metadata["resize"] and "fitted to human labels" in card

    interpreter = Interpreter(str(path))
    signature = interpreter.get_signature_list()["serving_default"]
    assert signature["inputs"] == ["image"] and sorted(signature["outputs"]) == ["embedding", "map", "score"]
    operations = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not any(name.startswith(("Flex", "Custom")) for name in operations)
    image = procedural_image(7, 32)[0]
    found = interpreter.get_signature_runner("serving_default")(image=image[None])
    expected = scorer.predict(image[None], verbose=0)
    assert found["map"].shape == (1, 4, 4) and found["embedding"].shape == (1, 16)
    tolerance = {"none": 1e-5, "float16": 2e-3}.get(quantize, 0.02)
    for name in ("score", "map"):
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance * (1 if name == "score" else 10))
    np.testing.assert_allclose(found["map"].mean(), found["score"][0], atol=1e-5)


def test_what_is_pushed_is_a_model_for_every_verb_with_its_card(scorer, folder, tmp_path, hub_server):
    path, _ = export(scorer, output=tmp_path / "tiny.tflite", images=folder, push="hf://someone/tiny")
    (files,) = (hub_server.files[commit] for commit in {hub_server.repositories["someone/tiny"]["main"]})
    assert set(files) >= {"model.tflite", "model.keras", "README.md", "SHA256SUMS"}
    assert files["model.tflite"] == path.read_bytes()
    readme = files["README.md"].decode()
    assert readme.startswith("---\nlibrary_name: keras\n") and unpack(path).card.strip() in readme
    assert "clicv2-keras score --model hf://someone/tiny photos" in readme
    pixels = procedural_image(3, 32)[0]
    expected = float(scorer.predict_on_batch(pixels[None])["score"][0])
    assert Scorer("hf://someone/tiny").score(pixels).score == pytest.approx(expected, abs=1e-5)
    again = find_model("hf://someone/tiny")
    assert float(again.predict_on_batch(pixels[None])["score"][0]) == pytest.approx(expected, abs=1e-6)
    assert describe("hf://someone/tiny@v1.0", again, "none")[0]["name"] == "tiny"


def test_a_run_folder_s_name_is_whole(scorer, tmp_path, monkeypatch):
    (tmp_path / "v1.5").mkdir()
    monkeypatch.chdir(tmp_path)
    assert describe("v1.5", scorer, "none")[0]["name"] == "v1.5"
    assert describe("nowhere/best.keras", scorer, "none")[0]["name"] == "best"
    # A run that is called as a preset is what was loaded.
    (tmp_path / "default").mkdir()
    assert describe("default", scorer, "none")[0]["name"] == ALIASES["default"]
    (tmp_path / "default" / "model.keras").touch()
    metadata, card = describe("default", scorer, "none")
    assert metadata["name"] == "default" and "No figures come with it" in card
    monkeypatch.chdir("v1.5")
    assert describe(".", scorer, "none")[0]["name"] == "v1.5"


def test_a_card_says_what_a_model_without_labels_stands_on():
    stem = FeatureStem(tiny_feature_maps())
    encoder = ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2, stem=stem)
    _, card = describe("free.keras", ComplexityScorer.label_free(encoder), "none")
    assert "No complexity that people judged was shown to it. It stands on a pretrained network" in card
    encoder.fitted_to = None
    _, card = describe("free.keras", ComplexityScorer.label_free(encoder), "none")
    assert "whether its encoder was, its file does not tell." in card


def test_a_push_that_cannot_be_is_told_before_the_work(scorer, tmp_path, hub_server, monkeypatch):
    output = tmp_path / "tiny.tflite"
    monkeypatch.setattr(run, "_export", None)
    with pytest.raises(UserError, match="leave --format saved_model out"):
        export(scorer, "saved_model", output=tmp_path / "folder", push="hf://someone/tiny")
    with pytest.raises(UserError, match="an address is hf://owner/name"):
        export(scorer, output=output, push="someone/tiny")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="set HF_TOKEN to a token that may write there"):
        export(scorer, output=output, push="hf://someone/tiny")
    assert not output.exists() and hub_server.asked == []


@pytest.mark.slow
def test_quantized_files_are_smaller_by_their_bits(folder, tmp_path):
    keras.utils.set_random_seed(0)
    wide = ComplexityScorer.label_free(ViTEncoder(image_size=32, patch_size=8, width=96, depth=2, num_heads=2))
    sizes = {
        q: export(wide, "tflite", q, tmp_path / f"{q}.tflite", folder)[1].size for q in ("none", "float16", "int8")
    }
    assert sizes["float16"] < 0.6 * sizes["none"] and sizes["int8"] < 0.45 * sizes["none"]


@pytest.mark.parametrize("quantize", ["dynamic", "int8"])
def test_a_hybrid_has_dense_layers_in_int8_and_convolutions_as_told(tmp_path, quantize):
    stem = FeatureStem(tiny_feature_maps(channels=(4, 6, 8, 10)))
    encoder = ViTEncoder(image_size=32, patch_size=16, width=48, depth=1, num_heads=2, stem=stem)
    hybrid = ComplexityScorer(encoder, LinearHead(("token",)))
    hybrid.head.kernel.assign(np.random.default_rng(0).normal(0, 0.1, hybrid.head.kernel.shape))
    images = np.stack([procedural_image(i, 32)[0] for i in range(120)])
    write_tflite_source(hybrid, tmp_path)
    interpreter = Interpreter(model_content=convert(tmp_path, quantize, images[60:, None]))
    operations = interpreter._get_ops_details()
    types = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    weights = {"CONV_2D": [], "FULLY_CONNECTED": []}
    for operation in operations:
        if operation["op_name"] in weights:
            weights[operation["op_name"]].append(types[operation["inputs"][1]])
    assert set(weights["FULLY_CONNECTED"]) == {np.int8}
    last = {"dynamic": np.float32, "int8": np.int8}[quantize]
    assert weights["CONV_2D"] == [np.float32, np.float32, np.float32, last]
    # What is computed in float32 lies in the file as float16.
    assert sum(types[op["inputs"][0]] == np.float16 for op in operations) >= weights["CONV_2D"].count(np.float32)
    run = interpreter.get_signature_runner("serving_default")
    found = np.array([run(image=image[None])["score"][0] for image in images[:60]])
    expected = hybrid.predict(images[:60], verbose=0)["score"]
    assert np.corrcoef(found, expected)[0, 1] > 0.98 and np.abs(found - expected).max() < 0.1


WITHOUT_THIS_PACKAGE = """
import sys
sys.modules["clicv2_keras"] = sys.modules["keras"] = None
import numpy as np, tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
images = np.load(sys.argv[2])
out = signatures["serving_default"](images=tf.constant(images["pixels"]))
files = signatures["serving_bytes"](image_bytes=tf.constant([bytes(b) for b in (images["png"], images["jpeg"])]))
np.savez(sys.argv[3], **out, **{f"bytes_{name}": value for name, value in files.items()})
"""


def test_saved_model_runs_without_this_package(scorer, folder, tmp_path):
    path, measured = export(scorer, "saved_model", "none", tmp_path / "served", folder)
    assert measured.score_max <= 1e-5 and measured.map_max <= 1e-4
    pictures = [Image.fromarray(procedural_image(i, 300)[0][:200]) for i in (3, 4)]
    files = []
    for kind, picture in zip(("PNG", "JPEG"), pictures, strict=True):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        files.append(np.frombuffer(buffer.getvalue(), "uint8"))
    np.savez(tmp_path / "in.npz", pixels=np.stack(pictures), png=files[0], jpeg=files[1])
    arguments = [sys.executable, "-c", WITHOUT_THIS_PACKAGE, path, tmp_path / "in.npz", tmp_path / "out.npz"]
    result = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    found = np.load(tmp_path / "out.npz")
    expected = scorer.predict(np.stack([network_input(p, 32) for p in pictures]), verbose=0)
    for name in ("score", "map", "embedding"):
        np.testing.assert_allclose(found[name], expected[name], atol={"score": 1e-3}.get(name, 0.05))
    # The first came as PNG: the same pixels. The second went through JPEG.
    np.testing.assert_allclose(found["bytes_score"][0], found["score"][0], atol=1e-6)
    decoded = network_input(Image.open(io.BytesIO(files[1].tobytes())), 32)
    np.testing.assert_allclose(found["bytes_score"][1], scorer.predict(decoded[None], verbose=0)["score"][0], atol=2e-3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="converts by TensorFlow in this process")
def test_fingerprints_are_in_no_graph(scorer, tmp_path):
    from clicv2_keras.deployment.exporting.formats_tensorflow import write_tflite_source

    codes = np.random.default_rng(0).integers(0, 256, (1000, 194))
    sizes = []
    try:
        for name, fitted_to in (("without", Fingerprints()), ("with", Fingerprints(codes))):
            scorer.head.fitted_to = scorer.encoder.fitted_to = fitted_to
            write_tflite_source(scorer, tmp_path / name)
            sizes.append(sum(path.stat().st_size for path in (tmp_path / name).rglob("*") if path.is_file()))
    finally:
        scorer.head.fitted_to = scorer.encoder.fitted_to = Fingerprints()
    assert abs(sizes[1] - sizes[0]) < 2000 < codes.size


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the limit is of this process")
def test_a_full_disk_names_the_file_and_leaves_nothing(scorer, tmp_path):
    # 4 MB, which only the last file holds.
    scorer.head.fitted_to = Fingerprints(np.random.default_rng(0).integers(0, 256, (20_000, 194)).astype("uint8"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(OSError) as error:
            export(scorer, output=tmp_path / "tiny.tflite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        scorer.head.fitted_to = Fingerprints()
    assert error.value.filename == str(tmp_path / "tiny.tflite") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("quantize", ["none", "dynamic"])
def test_outside_the_bounds_nothing_is_written(scorer, folder, tmp_path, monkeypatch, quantize):
    run = parity.run_tflite

    def disturbed(path, images):
        out, milliseconds = run(path, images)
        out["score"][17] += 0.5
        out["score"][:100] = out["score"][:100][::-1] if quantize == "dynamic" else out["score"][:100]
        return out, milliseconds

    monkeypatch.setattr("clicv2_keras.deployment.exporting.run.run_tflite", disturbed)
    with pytest.raises(UserError, match="not written: its score") as error:
        export(scorer, "tflite", quantize, tmp_path / "tiny.tflite", folder)
    assert "026.png" in str(error.value) or quantize == "dynamic"
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count, judged, calibrate", [(450, 200, 100), (220, 200, 20), (200, 200, 0)])
def test_what_judges_and_what_calibrates_is_spread_over_the_folder_and_apart(tmp_path, count, judged, calibrate):
    for i in range(count):
        Image.new("RGB", (8, 8), (i % 256, i // 256, 0)).save(tmp_path / f"{i:03d}.png")
    compared = images_to_compare_on(tmp_path, 8)
    numbers = [np.dot(images[:, 0, 0].astype(int), [1, 256, 0]) for images in (compared.judged, compared.calibration)]
    assert [len(found) for found in numbers] == [judged, calibrate]
    assert compared.names == [f"{tmp_path}/{number:03d}.png" for number in numbers[0]]
    both = np.concatenate(numbers)
    assert len(set(both)) == len(both) and set(both) >= {0, count - 1}
    assert all(np.diff(np.sort(found)).max() <= 1.1 * count / len(found) + 1 for found in numbers if len(found))


def test_images_that_cannot_be_read_are_made_up_for(tmp_path):
    for i in range(500):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i:03d}.png")
        if i % 2:
            (tmp_path / f"{i:03d}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    compared = images_to_compare_on(tmp_path, 8)
    assert len(compared.judged) == 200 and len(compared.calibration) == 50


def test_int8_is_not_calibrated_on_what_judges_it(scorer, folder, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for file in sorted(folder.iterdir())[1:201]:
        (few / file.name).symlink_to(file)
    with pytest.raises(
        UserError, match="few: int8 is calibrated on 100 others than the 200 .* 0 can be read; give 300"
    ):
        export(scorer, "tflite", "int8", tmp_path / "tiny.tflite", few)
    assert not (tmp_path / "tiny.tflite").exists()


def test_what_is_no_number_fails():
    out = {"score": np.linspace(0, 1, 5), "map": np.zeros((5, 2, 2))}
    lost = {"score": np.array([0, np.nan, 0.5, 0.75, 1]), "map": np.zeros((5, 2, 2))}
    measured = Parity.measure(out, lost, list("abcde"), 1, {})
    assert measured.worst == "b"
    assert all(measured.failure(quantize) for quantize in ("none", "float16", "dynamic", "int8"))
    fine = Parity.measure(out, out, list("abcde"), 1, {})
    assert not any(fine.failure(quantize) for quantize in ("none", "float16", "dynamic", "int8"))


def test_mistakes_in_one_line(scorer, folder, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "other.tflite").write_bytes(b"0000TFL3 of another")
    for arguments, says in {
        ("onnx", "none", None, None): "onnx is not one; allowed are saved_model, tflite",
        ("tflite", "int4", None, None): "int4 is not one; allowed are none, float16, dynamic, int8",
        ("tflite", "int8", None, None): "calibrated on real images",
        ("saved_model", "float16", None, None): "needs --format tflite",
        ("tflite", "none", tmp_path / "model.bin", None): "ends in .tflite",
        ("saved_model", "none", tmp_path / "there", None): "exists; remove it",
        ("tflite", "none", tmp_path / "other.tflite", None): "is no output of clicv2-keras export, and is kept",
        ("tflite", "none", tmp_path / "a.tflite", tmp_path): "holds no image at any depth",
        ("tflite", "none", tmp_path / "no" / "a.tflite", tmp_path / "no"): "there is no such folder",
    }.items():
        with pytest.raises(UserError, match=says):
            export(scorer, *arguments)


UNDER_ANOTHER_BACKEND = """
import sys, keras
from clicv2_keras import ViTEncoder
from clicv2_keras import export
encoder = ViTEncoder(image_size=32, patch_size=8, width=16, depth=1, num_heads=2)
path, parity = export(encoder, output=sys.argv[1])
assert keras.backend.backend() != "tensorflow" and parity.score_max <= 1e-5
try:
    export("nothing_like_it")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_models_of_other_backends(tmp_path, backend):
    result = subprocess.run(
        [sys.executable, "-c", UNDER_ANOTHER_BACKEND, tmp_path / "other.tflite"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "UserError MODEL nothing_like_it" in result.stdout
    written = unpack(tmp_path / "other.tflite")
    assert written.metadata["label_range"] is None and written.metadata["name"] == "ViTEncoder"
    assert "from ViTEncoder." in written.card


def test_the_home_folder_is_where_the_user_means(tmp_path, monkeypatch):
    from clicv2_keras.deployment.exporting.run import _target

    monkeypatch.setenv("HOME", str(tmp_path))
    assert _target("~/m.tflite", "name", "tflite") == tmp_path / "m.tflite"
    assert _target("~/served", "name", "saved_model") == tmp_path / "served"
