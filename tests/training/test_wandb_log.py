import csv
import importlib.util
import json

import pytest
import yaml
from click.testing import CliRunner

import clicv2_keras
from clicv2_keras.cli.main import main
from clicv2_keras.training.callbacks.interval import Interval
from clicv2_keras.utils.errors import UserError

# Of the fixture `eagerly`.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the:UserWarning")

# What stands in for the package: keeps what it is told, and counts steps as the real one does.
FAKE = """
import json, os

def _tell(**event):
    with open(os.environ["FAKE_WANDB"], "a") as file:
        file.write(json.dumps(event) + "\\n")

def _told():
    with open(os.environ["FAKE_WANDB"]) as file:
        return [json.loads(line) for line in file]

class Run:
    def __init__(self, id):
        steps = [event["step"] for event in _told() if event["what"] == "log"]
        self.step = max(steps) + 1 if steps else 0

    def log(self, figures, step, commit):
        assert step >= self.step and commit
        self.step = step + 1
        _tell(what="log", figures=figures, step=step)

    def finish(self, exit_code):
        _tell(what="finish", exit_code=exit_code)

def init(**arguments):
    if arguments["project"] == "closed":
        raise RuntimeError("no API key\\nconfigured")
    _tell(what="init", **arguments)
    return Run(arguments["id"])
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function that gives what the fake package was told."""
    (tmp_path / "packages" / "wandb").mkdir(parents=True)
    (tmp_path / "packages" / "wandb" / "__init__.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("FAKE_WANDB", str(tmp_path / "told.jsonl"))
    (tmp_path / "told.jsonl").touch()
    return lambda: [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_the_rows_are_sent_once_and_a_resumed_run_is_the_same_one(tmp_path, tiny, told, eagerly, monkeypatch):
    folder = tmp_path / "run"
    overrides = [*tiny, f"run.dir={folder}", "train.steps=6", "run.checkpoint_every=2", "run.wandb=complexity"]

    def fall(self, batch, logs=None, original=Interval.on_train_batch_end):
        original(self, batch, logs)
        if self.step == 5:
            raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(Interval, "on_train_batch_end", fall)
        clicv2_keras.train("quickstart", overrides, progress=False)
    clicv2_keras.train("quickstart", overrides, resume=True, progress=False)

    events = told()
    assert [event["what"] for event in events] == ["init", "log", "log", "finish", "init", "log", "finish"]
    assert [event["exit_code"] for event in events if event["what"] == "finish"] == [1, 0]
    first, second = (event for event in events if event["what"] == "init")
    assert first == second and first["id"] == (folder / "wandb_id.txt").read_text() and first["resume"] == "allow"
    assert (first["project"], first["name"]) == ("complexity", "quickstart")
    assert first["config"] == yaml.safe_load((folder / "recipe.yaml").read_text())
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    sent = [event["figures"] | {"step": event["step"]} for event in events if event["what"] == "log"]
    assert sent == [pytest.approx(row, rel=1e-5) for row in rows]  # the file has six digits

    # A run that began without it sends its earlier rows as well: here all of them, to another place.
    (tmp_path / "told.jsonl").write_text("")
    clicv2_keras.train("quickstart", overrides, resume=True, progress=False)
    assert [event["step"] for event in told() if event["what"] == "log"] == [2, 4, 6]


def test_what_it_cannot_reach_is_told_in_a_line(tmp_path, tiny, told):
    with pytest.raises(UserError, match="^--set: run.wandb: no API key configured; wandb login, or WANDB_MODE"):
        clicv2_keras.train("quickstart", [*tiny, f"run.dir={tmp_path / 'run'}", "run.wandb=closed"], progress=False)


def test_a_missing_package_is_told_before_the_run(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else found(name))
    for more in ([], ["--dry-run"]):
        arguments = ["train", "quickstart", "--set", f"run.dir={tmp_path / 'run'}", "--set", "run.wandb=mine", *more]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2 and not (tmp_path / "run").exists()
        assert result.output.startswith("Error: --set: run.wandb: wandb is not installed; pip install wandb")
        assert result.output.count("\n") == 1
