"""`evaluate` and `finetune` as a user runs them."""

import csv

import keras
import pytest
from click.testing import CliRunner

from clicv2_keras.cli.main import main


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_finetune_then_evaluate(tiny_encoder, ic9600, tmp_path):
    tiny_encoder.save(tmp_path / "encoder.keras")
    data = ("--dataset", "ic9600", "--root", ic9600)
    result = run("finetune", tmp_path / "encoder.keras", *data, "--output", tmp_path / "scorer.keras")
    assert result.exit_code == 0, result.stderr
    assert "fitted 34 weights of the head to 36 images" in result.stdout
    (ic9600 / "images" / "unlabelled.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    result = run("evaluate", tmp_path / "scorer.keras", *data, "--resamples", 20, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "fitted score" in result.stdout and "ridge on handcrafted" in result.stdout
    assert "unlabelled.png" in result.stdout  # said, and in nobody's way
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        metrics = {row["metric"] for row in csv.DictReader(file) if row["part"] == "overall"}
    assert metrics == {"PCC", "SRCC", "KRCC", "RMSE", "RMAE"}
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "defualt", "--dataset", "ic9600", "--root", "{root}"], "did you mean default?"),
        (["evaluate", "--dataset", "ic96", "--root", "{root}"], "did you mean ic9600"),
        (["evaluate", "--dataset", "ic9600", "--root", "{root}/nowhere"], "there is no such file or folder"),
        (["evaluate", "--dataset", "imagenet", "--root", "{root}"], "one a class"),
        (["evaluate", "--dataset", "csv", "--root", "{root}/train.txt"], "column"),
        (["evaluate", "--dataset", "imagenet", "--root", "{root}", "--resamples", "20"], "--resamples: means nothing"),
        (
            ["evaluate", "--dataset", "imagenet", "--root", "{root}", "--test-split", "val"],
            "--test-split: means nothing",
        ),
        (["evaluate", "--dataset", "imagenet", "--root", "{root}", "--pooled"], "--within-category: means nothing"),
        (["evaluate", "--dataset", "ic9600", "--root", "{root}", "--per-class", "5"], "--per-class: means nothing"),
        (
            ["evaluate", "--dataset", "ic9600", "--root", "{root}", "--no-baselines", "--untrained-seeds", "5"],
            "--untrained-seeds: means nothing with --no-baselines",
        ),
        (["evaluate", "--dataset", "ic9600", "--root", "{root}", "--against", "nonsense"], "or name a measure"),
        (["evaluate", "--dataset", "ic9600", "--root", "{root}", "--output", "{root}/train.txt"], "is a file"),
        (
            ["evaluate", "--dataset", "ic9600", "--root", "{root}", "--seed", "-1"],
            "--seed -1: take a whole number from 0",
        ),
        (["evaluate", "--dataset", "imagenet", "--root", "{root}", "--seed", "4294967296"], "--seed 4294967296: take"),
        (["finetune", "--dataset", "ic9600", "--root", "{root}", "--output", "head.h5"], "saved as a .keras file"),
        (["finetune", "--dataset", "ic9600"], "ic9600: its root is missing; name where the data set lies"),
        (["finetune", "--dataset", "procedural", "--root", "{root}"], "--root: means nothing for procedural images"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(ic9600, arguments, says):
    result = CliRunner().invoke(main, [argument.format(root=ic9600) for argument in arguments])
    assert result.exit_code == 2 and says in result.stderr and result.stdout == ""
    assert result.stderr.strip().count("\n") == 0 and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table.csv", "file,score\na.jpg,0.1\nb.jpg,0.2\n"),
        ("predictions.csv", "file,category,human,score\na.jpg,x,0.1,0.1\nb.jpg,x,0.2,0.2\n"),  # as ours, but read
        ("report.html", "<!DOCTYPE html><title>My holidays</title>"),
        ("top1.csv", "model,top1\nmine,0.9\n"),
    ],
)
def test_nothing_of_the_users_is_replaced_and_it_is_told_before_the_work(tmp_path, monkeypatch, name, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes").mkdir()
    (tmp_path / name).write_text(text)
    root = name if name.endswith(".csv") else "none.csv"
    data = ("imagenet", "classes") if name == "top1.csv" else ("csv", root)
    result = run("evaluate", "--dataset", data[0], "--root", data[1], "--output", ".")
    assert (result.exit_code, result.stdout) == (2, "") and (tmp_path / name).read_text() == text
    assert result.stderr.startswith(f"Error: --output {name}: is ") and result.stderr.count("\n") == 1


def test_a_scorer_replaces_a_model_of_ours_and_nothing_else(tiny_encoder, ic9600, tmp_path):
    tiny_encoder.save(tmp_path / "mine.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    (tmp_path / "notes.keras").write_text("no model")
    command = ("finetune", tmp_path / "mine.keras", "--dataset", "ic9600", "--root", ic9600, "--output")
    for name in ("other.keras", "notes.keras"):
        before = (tmp_path / name).read_bytes()
        result = run(*command, tmp_path / name)
        assert (result.exit_code, result.stdout) == (2, "") and (tmp_path / name).read_bytes() == before
        assert f"{name}: is no output of clicv2-keras finetune, and is kept; name another" in result.stderr
    assert run(*command, tmp_path / "mine.keras").exit_code == 0
