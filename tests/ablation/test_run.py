"""One real ablation, a tiny one; what does not hang on the figures is tested with figures of our own."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import clicv2_keras
from clicv2_keras.ablation import worker
from clicv2_keras.ablation.probe import probe
from clicv2_keras.utils.errors import ResourceLost, UserError

SCRIPT = Path(sys.executable).parent / "clicv2-keras"


def lines(folder):
    with open(folder / "ablation.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_stopped_and_gone_on_with_and_done_again_the_figures_are_the_same(tiny):
    tiny["seeds"], out = 1, tiny["output"]
    command = [SCRIPT, "ablate", tiny["recipe"], "--rows", tiny["rows"], "--seeds", "1", "--output", out]
    command += ["--dataset", "csv", "--root", tiny["root"], *(f"--set={override}" for override in tiny["overrides"])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    while not (out / "ablation.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM, stderr
    assert stderr == f"Error: {out}: stopped after 1 of 2 runs; the same command goes on from there\n"
    assert "2 runs, 2 of them to do" in stdout and "1/2 mem, seed 0: ridge_srcc" in stdout
    (first,) = lines(out)
    assert first["row"] == "mem" and (out / "ablation.png").exists()
    trained = (out / "runs" / "mem" / "seed_0" / "model.keras").stat().st_mtime_ns

    whole = clicv2_keras.ablate(**tiny)
    assert lines(out)[0] == first
    rows = [(row["row"], row["contrast.level"], row["steps"], row["images"]) for row in whole.rows]
    assert rows == [("mem", "none", 2, 16), ("random", "patch", 0, 0)]
    assert len(whole.figures) == 8
    for row in whole.rows:
        assert all(-1 <= row[name] <= 1 for name in whole.figures) and row["error"] == ""
    assert (out / "runs" / "mem" / "seed_0" / "model.keras").stat().st_mtime_ns == trained
    assert not list(out.rglob("checkpoints"))

    # A training done again gives the same figures, and nothing else is done again.
    rest = [line for line in (out / "ablation.csv").read_text().splitlines(keepends=True) if line[:4] != "mem,"]
    (out / "ablation.csv").write_text("".join(rest))
    random = (out / "runs" / "random" / "seed_0" / "model.keras").stat().st_mtime_ns
    clicv2_keras.ablate(**tiny)
    again = lines(out)[0]
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in first.items() if k != "seconds"}
    assert (out / "runs" / "mem" / "seed_0" / "model.keras").stat().st_mtime_ns > trained
    assert (out / "runs" / "random" / "seed_0" / "model.keras").stat().st_mtime_ns == random


def test_a_mistake_in_a_run_and_a_run_that_dies_are_told_in_a_line(tiny, monkeypatch):
    with pytest.raises(UserError, match="backend: mxnet is not one; allowed are") as error:
        monkeypatch.setenv("KERAS_BACKEND", "mxnet")
        clicv2_keras.ablate(**tiny)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(worker.sys, "executable", "/bin/false")
    with pytest.raises(ResourceLost, match=r"mem/seed_0: the run broke off: exit code 1; stderr\.txt") as error:
        clicv2_keras.ablate(**tiny)
    assert error.value.exit_code == 1


def test_an_answer_that_no_pipe_holds_is_read_all_the_same(tiny, monkeypatch, tmp_path):
    python, program = sys.executable, tmp_path / "python"
    answer = "Outcome({'ridge_srcc': 0.5}, ['x' * 200000])"
    answer = (
        f"import sys, pickle; from {worker.__name__} import Outcome; sys.stdout.buffer.write(pickle.dumps({answer}))"
    )
    program.write_text(f'#!/bin/sh\nexec "{python}" -c "{answer}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(worker.sys, "executable", str(program))
    found = clicv2_keras.ablate(**tiny | {"rows": "random", "seeds": 1})
    assert any(len(note) > 199000 for note in found.notes)


def test_a_full_disk_is_told_in_a_line_and_the_same_command_goes_on(tiny):
    run = tiny["output"] / "runs" / "random" / "seed_0"
    run.mkdir(parents=True)
    (run / "unfinished_model.keras").symlink_to("/dev/full")
    with pytest.raises(ResourceLost) as error:
        clicv2_keras.ablate(**tiny | {"rows": "random", "seeds": 1})
    assert error.value.exit_code == 1
    assert str(error.value) == (
        f"{run}: {run}/model.keras: No space left on device; no checkpoint yet; "
        "once that is mended, the same command goes on"
    )


@pytest.fixture
def fake(monkeypatch):
    """In place of a run: its figure is its seed over 10; that of the row sp diverges. The list says what was run."""
    done = []

    def work(run, data, test_split, stop):
        done.append((run.row.name, run.seed))
        if run.row.name == "sp":
            return worker.Outcome(diverged="the loss is not finite at step 1")
        return worker.Outcome({"ridge_srcc": run.seed / 10}, ["a note"])

    monkeypatch.setattr("clicv2_keras.ablation.run.work", work)
    return done


def test_only_what_is_missing_is_run_and_rows_and_seeds_add_up(tiny, fake):
    out = tiny["output"]
    first = clicv2_keras.ablate(**tiny)
    assert fake == [("mem", 0), ("random", 0), ("mem", 1), ("random", 1)]
    assert [(row["row"], row["seed"]) for row in first.rows] == [("mem", 0), ("mem", 1), ("random", 0), ("random", 1)]
    assert first.summary()["mem"]["ridge_srcc"] == pytest.approx((0.05, np.std([0, 0.1], ddof=1), 2))
    assert first.notes == ["a note"]

    fake.clear()
    text = (out / "ablation.csv").read_text()
    assert clicv2_keras.ablate(**tiny).rows == first.rows
    assert fake == [] and (out / "ablation.csv").read_text() == text

    more = clicv2_keras.ablate(**tiny | {"rows": "pw,mem", "seeds": 3})
    assert fake == [("pw", 0), ("pw", 1), ("pw", 2), ("mem", 2)]
    assert more.names == ["pw", "mem", "random"]
    assert [spreads["ridge_srcc"].n for spreads in more.summary().values()] == [3, 3, 2]
    with pytest.raises(UserError, match="was started with train.steps 2, not 3; go on with the same, or take another"):
        clicv2_keras.ablate(**tiny | {"overrides": (*tiny["overrides"], "train.steps=3")})
    with pytest.raises(UserError, match="was started with judged by agreement .*, not the known complexity"):
        clicv2_keras.ablate(**tiny | {"dataset": None, "root": None})


def test_what_diverges_is_a_row_too_and_the_others_go_on(tiny, fake):
    arguments = tiny | {"rows": "sp,mem", "seeds": 1}
    found = clicv2_keras.ablate(**arguments)
    assert [(row["row"], row["error"]) for row in found.rows] == [
        ("sp", "the loss is not finite at step 1"),
        ("mem", ""),
    ]
    assert found.figures == ["ridge_srcc"] and found.rows[1]["ridge_srcc"] == 0
    assert clicv2_keras.ablate(**arguments).rows == found.rows and len(fake) == 2


def test_without_a_data_set_known_complexity_judges(monkeypatch):
    table = {"model/ridge/srcc": 0.5000004, "model/ridge_mean_token/pcc": 0.2500004, "untrained/ridge/srcc": 0.1}
    expected = {"ridge_srcc": 0.5000004, "ridge_mean_pcc": 0.2500004}
    assert probe(SimpleNamespace(table=table)) == (expected, [])
    # Where the run was on other images, it is measured now.
    measured = SimpleNamespace(known_complexity=lambda recipe, model: table if (recipe, model) == (1, 2) else None)
    monkeypatch.setitem(sys.modules, "clicv2_keras.training.known_complexity", measured)
    assert probe(SimpleNamespace(table=None, model=2, folder=SimpleNamespace(recipe=1))) == (expected, [])
