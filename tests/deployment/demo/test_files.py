"""The demo as files, for any web host."""

import json
import re
import resource

import numpy as np
import pytest
from click.testing import CliRunner

from clicv2_keras.cli.main import main
from clicv2_keras.deployment.demo.files import content_policy, write_demo
from clicv2_keras.deployment.scoring.percentiles import Percentiles
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import Fingerprints
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.tflite_file import pack, unpack


def call(*arguments):
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


def test_the_folder_holds_all_that_the_page_names_and_nothing_is_named_from_the_root(tmp_path):
    result = call("--static", tmp_path / "new" / "site")
    assert result.exit_code == 0 and str(tmp_path / "new" / "site") in result.stdout
    site = tmp_path / "new" / "site"
    assert (site / "model.tflite").read_bytes() == (trained_presets()["default"] / "dynamic.tflite").read_bytes()
    page = (site / "index.html").read_text(encoding="utf-8")
    named = {*re.findall(r'(?:href|src)="([^"]+)"', page), *re.findall(r'"(\./[^"]+)"', page)}
    for script in site.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        named |= {*re.findall(r'from "(\./[^"]+)"', text), *re.findall(r'here\("([^"]+)"\)', text)}
        assert not re.search(r'(?:fetch|import|load)\(["`]/', text)
    assert {"model.json", "model.tflite", "./litert/index.js", "./about.js"} <= named
    assert all((site / name).is_file() for name in named), named
    assert len(list((site / "samples").iterdir())) == 6
    assert [path.name for path in site.parent.iterdir()] == ["site"]  # nothing unfinished is left


def test_the_page_carries_the_policy_and_only_the_copy_does(tmp_path):
    page = (write_demo(tmp_path / "site") / "index.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.replace("&#x27;", "'") == content_policy()
    # It must come before what it governs.
    assert page.index("Content-Security-Policy") < page.index("<script")


@pytest.mark.parametrize("name, has", [("default", True), ("clicv2_vit_tiny_d4_patch16_128", False)])
def test_what_it_says_follows_the_model(tmp_path, name, has):
    told = json.loads((write_demo(tmp_path / "site", name) / "model.json").read_text())
    assert (told["label_range"] is not None) is has and told["purpose"] and "Savoias" in told["agreement"]
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes((trained_presets()[name] / "dynamic.tflite").read_bytes())
    told = json.loads((write_demo(tmp_path / "other", foreign) / "model.json").read_text())
    assert "purpose" not in told and "agreement" not in told and told["saw_labels"] is False
    shipped, seen = unpack(foreign), Fingerprints(np.zeros((1, 194), "uint8"))
    foreign.write_bytes(pack(shipped.model, shipped.metadata, fitted_to={"encoder": seen}))
    assert json.loads((write_demo(tmp_path / "third", foreign) / "model.json").read_text())["saw_labels"] is True


def test_it_carries_the_reference_photographs_scores_of_the_very_file_and_of_no_other(tmp_path):
    told = json.loads((write_demo(tmp_path / "site") / "model.json").read_text())
    shipped = unpack(trained_presets()["default"] / "dynamic.tflite")
    known = Percentiles(shipped.metadata)
    assert told["reference"] == {"photographs": known.photographs, "scores": known.scores}
    mine = tmp_path / "mine.tflite"
    mine.write_bytes(pack(shipped.model + bytes(16), shipped.metadata))
    assert "reference" not in json.loads((write_demo(tmp_path / "other", mine) / "model.json").read_text())


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "site").mkdir()
    write_demo(tmp_path / "site")  # an empty folder may be filled
    before = sorted(path.name for path in (tmp_path / "site").iterdir())
    with pytest.raises(UserError, match="not empty"):
        write_demo(tmp_path / "site")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_demo(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == before


def test_the_working_folder_may_be_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("--static", ".")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "index.html").is_file() and (tmp_path / "litert" / "index.js").is_file()
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_names_the_folder_and_leaves_it_empty(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError) as error:
            write_demo(tmp_path / "site")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(tmp_path / "site") and not list((tmp_path / "site").iterdir())


def test_mistakes_are_one_line(tmp_path):
    for arguments in (["--port", 80], ["--host", "0.0.0.0"], ["--no-browser"], ["--allow-host", "x"]):
        result = call("--static", tmp_path / "site", *arguments)
        assert result.exit_code == 2 and "means nothing beside --static" in result.stderr, result.output
    result = call("--static", tmp_path / "site", "--model", "nowhere.tflite")
    assert result.exit_code == 2 and "no such file" in result.stderr and not (tmp_path / "site").exists()
