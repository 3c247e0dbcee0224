"""Models by `hf://owner/name`, from a server of this machine that speaks as the Hub does."""

import hashlib
import io
import json
import shutil
import sys
import zipfile

import pytest

from clicv2_keras import Scorer
from clicv2_keras.models import ComplexityScorer, ViTEncoder
from clicv2_keras.models.find_model import find_model
from clicv2_keras.utils import hub
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.hub import KERAS, SUMS, TFLITE, hub_file, parse_address, push
from clicv2_keras.utils.package_data import trained_presets


def with_sums(files):
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items())
    return {**files, "SHA256SUMS": sums.encode()}


@pytest.mark.parametrize(
    "address, expected",
    [
        ("hf://someone/a.model_1", ("someone/a.model_1", None)),
        ("hf://someone/model@v1.0", ("someone/model", "v1.0")),
        ("hf://someone/model@refs/pr/1", ("someone/model", "refs/pr/1")),
    ],
)
def test_addresses(address, expected):
    assert parse_address(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "hf://",
        "hf://model",
        "hf://a/b/c",
        "hf://a/../b",
        "hf://a/b@",
        "hf://a/b@../x",
        "hf://a/b c",
        "hf://.a/b",
        "hf://a/b--c",
        "hf://a/b.",
        "hf://a-/b",
        "hf://a/b.git",
        f"hf://a/{95 * 'b'}",
    ],
)
def test_what_is_no_address_is_told_before_anybody_is_asked(hub_server, address):
    with pytest.raises(UserError, match="an address is hf://owner/name"):
        hub_file(address, TFLITE)
    assert hub_server.asked == []


def test_the_shipped_model_scores_the_same_from_there_and_offline_after_the_first_time(hub_server, images, monkeypatch):
    file = trained_presets()["default"] / "dynamic.tflite"
    hub_server.commit("someone/model", with_sums({TFLITE: file.read_bytes()}))
    expected = Scorer().score(images[0]).score
    assert Scorer("hf://someone/model").score(images[0]).score == expected
    asked = len(hub_server.asked)
    assert asked > 0
    hub_server.away = True
    assert Scorer("hf://someone/model").score(images[0]).score == expected
    assert len(hub_server.asked) == asked
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it tries again and again"))
    with pytest.raises(UserError, match="hf://someone/other: the server cannot be reached, and the cache has it not"):
        Scorer("hf://someone/other")


def test_a_revision_is_what_is_asked_for(hub_server):
    first = hub_server.commit("someone/model", with_sums({TFLITE: b"first"}))
    hub_server.commit("someone/model", with_sums({TFLITE: b"second"}))
    hub_server.commit("someone/model", with_sums({TFLITE: b"tagged"}), revision="v1")
    assert hub_file(f"hf://someone/model@{first}", TFLITE).read_bytes() == b"first"
    assert hub_file("hf://someone/model", TFLITE).read_bytes() == b"second"
    assert hub_file("hf://someone/model@v1", TFLITE).read_bytes() == b"tagged"
    # The branch moved: what is here stays, and the commit has the new one.
    third = hub_server.commit("someone/model", with_sums({TFLITE: b"third"}))
    assert hub_file("hf://someone/model", TFLITE).read_bytes() == b"second"
    assert hub_file(f"hf://someone/model@{third}", TFLITE).read_bytes() == b"third"


def test_what_is_wrong_is_one_line(hub_server, monkeypatch):
    hub_server.commit("someone/empty", {"README.md": b"hello"})
    hub_server.commit("someone/half", with_sums({TFLITE: b"x"}))
    hub_server.commit("someone/changed", with_sums({TFLITE: b"x"}) | {TFLITE: b"y"})
    hub_server.commit("someone/unnamed", with_sums({KERAS: b"x"}) | {TFLITE: b"y"})
    hub_server.commit("someone/large", with_sums({TFLITE: b"x" * 100}))
    monkeypatch.setitem(hub.MOST_BYTES, TFLITE, 99)
    for address, name, said in (
        ("hf://someone/nothing", TFLITE, "there is no such repository"),
        ("hf://someone/half@v9", TFLITE, "there is no such revision"),
        ("hf://someone/empty", TFLITE, "holds no SHA256SUMS; it was not made by clicv2-keras export --push"),
        ("hf://someone/half", KERAS, "holds no model.keras"),
        ("hf://someone/changed", TFLITE, "model.tflite does not match its checksum"),
        ("hf://someone/unnamed", TFLITE, "its SHA256SUMS does not name model.tflite"),
        ("hf://someone/large", TFLITE, "model.tflite is larger than"),
    ):
        with pytest.raises(UserError) as told:
            hub_file(address, name)
        assert str(told.value).startswith(f"MODEL {address}: ") and said in str(told.value)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"needs huggingface_hub; pip install '\.\[hf\]'"):
        hub_file("hf://someone/half", TFLITE)


def test_a_keras_model_from_there_is_that_model_and_runs_no_code(hub_server, tiny_encoder, tmp_path):
    ComplexityScorer.label_free(tiny_encoder).save(tmp_path / KERAS)
    body = (tmp_path / KERAS).read_bytes()
    hub_server.commit("someone/model", with_sums({KERAS: body}))
    assert isinstance(find_model("hf://someone/model"), ComplexityScorer)
    scorer = ComplexityScorer.from_preset("hf://someone/model", value_range=(0, 1))
    assert scorer.encoder.width == tiny_encoder.width and scorer.encoder.value_range == (0, 1)
    assert ViTEncoder.from_preset("hf://someone/model").width == tiny_encoder.width
    # A function in the file, which would be run where it is not refused.
    evil = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}},
        "registered_name": None,
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(archive, "w") as new:
        for name in old.namelist():
            content = json.dumps(evil).encode() if name == "config.json" else old.read(name)
            new.writestr(name, content)
    hub_server.commit("someone/evil", with_sums({KERAS: archive.getvalue()}))
    with pytest.raises(
        UserError, match="MODEL hf://someone/evil: not a model that can be loaded: .*Lambda.* disallowed"
    ):
        find_model("hf://someone/evil")


def test_what_is_pushed_is_what_comes_back_and_a_second_push_takes_its_place(hub_server, tmp_path):
    (tmp_path / "files").mkdir()
    for body in (b"first", b"second"):
        (tmp_path / "files" / TFLITE).write_bytes(body)
        (tmp_path / "files" / "README.md").write_text("# The card")
        commit = push("hf://someone/new", tmp_path / "files")
        assert hub_file(f"hf://someone/new@{commit}", TFLITE).read_bytes() == body
        assert hub_server.files[commit]["README.md"] == b"# The card"
    assert "PUT /lfs" in hub_server.asked


def test_a_readme_of_the_owner_is_kept_and_a_model_of_somebody_is_not_replaced(hub_server, tmp_path):
    files = tmp_path / "files"

    def pushed(card):
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        (files / TFLITE).write_bytes(card.encode())
        (files / "README.md").write_text(card)
        return hub_server.files[push("hf://someone/new", files)]["README.md"].decode()

    assert (pushed("first"), pushed("second")) == ("first", "second")
    hub_server.commit("someone/new", {"README.md": b"mine, with a licence"})
    assert [pushed(card) for card in ("third", "fourth")] == ["mine, with a licence"] * 2
    hub_server.commit("someone/theirs", {KERAS: b"a model"})
    other_sums = b"0" * 64 + b"  other.bin\n"
    for name, changed in (
        ("theirs", {}),
        ("theirs", {SUMS: other_sums}),
        ("new", {TFLITE: b"mine, fitted to more"}),
    ):
        hub_server.commit(f"someone/{name}", changed)
        with pytest.raises(UserError, match="its model.* was not written by export --push; name another place"):
            push(f"hf://someone/{name}", files)


def test_a_push_that_may_not_be_is_one_line(hub_server, tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    with pytest.raises(UserError, match="--push hf://someone/new: .*HF_TOKEN"):
        push("hf://someone/new", tmp_path / "files")
    assert hub_server.repositories == {}
